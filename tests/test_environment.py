"""Profile, seed, threads, memory, provenance; and that nothing waits for a hub that does not answer."""

import ast
import mmap
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy
import pytest
import torch

from cfhelpers import environment
from cfhelpers.environment import HubUnreachable


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch):
    # set before delete: monkeypatch then also removes what a test leaves behind
    for name in ("CF_PROFILE", "HF_ENDPOINT", "HF_HUB_OFFLINE", environment._OFFLINE_BY_US):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "http_proxy"):  # the servers below are on loopback
        monkeypatch.delenv(name, raising=False)
    for module, setting in [
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_DATASETS_OFFLINE"),
    ]:
        if module in sys.modules:
            monkeypatch.setattr(sys.modules[module], setting, False)


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Accept every connection and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def dripping_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send a byte of a header now and then: no time-out of the socket ever comes to its end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.1):
                    connection.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield
        stop.set()
        thread.join()


@pytest.fixture
def hub_that_answers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Answer every HEAD with the status that the test asks for, or 200."""
    status = getattr(request, "param", 200)

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")  # closed again: the connection is refused


# The profile


def test_the_argument_is_the_profile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CF_PROFILE", "tiny")
    assert environment.resolve_profile("laptop") == environment.ProfileChoice("laptop", "asked for")


def test_without_an_argument_the_variable_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CF_PROFILE", "laptop")
    choice = environment.resolve_profile()
    assert choice.name == "laptop"
    assert "CF_PROFILE" in choice.reason


@pytest.mark.parametrize("variable", [False, True])
def test_an_unknown_profile_is_refused_with_the_known_ones(variable: bool, monkeypatch: pytest.MonkeyPatch):
    if variable:
        monkeypatch.setenv("CF_PROFILE", "huge")
    with pytest.raises(ValueError, match=r"'huge'.*tiny, laptop, full"):
        environment.resolve_profile(None if variable else "huge")


def test_the_default_is_tiny_whatever_the_machine_has(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(environment, "hub_reachable", lambda *_: True)
    assert environment.resolve_profile() == environment.ProfileChoice("tiny", "the default")
    monkeypatch.setenv("CF_PROFILE", "")
    assert environment.resolve_profile().name == "tiny"


def test_the_tiny_models_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [environment.pick_device(name) for name in environment.PROFILES] == ["cpu", "cuda", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment.pick_device("full") == "cpu"


# The hub


@pytest.mark.parametrize("hub", ["silent_hub", "dripping_hub", "no_hub"])
def test_a_hub_that_does_not_answer_costs_at_most_the_timeout(hub: str, request: pytest.FixtureRequest):
    request.getfixturevalue(hub)
    started = time.perf_counter()
    assert not environment.hub_reachable(timeout=0.5)
    assert time.perf_counter() - started < 1.0


@pytest.mark.usefixtures("hub_that_answers")
@pytest.mark.parametrize("hub_that_answers", [200, 404], indirect=True)
def test_a_hub_that_answers_is_reachable():
    assert environment.hub_reachable()


@pytest.mark.usefixtures("hub_that_answers")
@pytest.mark.parametrize("hub_that_answers", [407, 502], indirect=True)
def test_a_gateway_that_answers_for_the_hub_is_not_the_hub():
    assert not environment.hub_reachable()


def test_an_endpoint_that_is_no_address_is_not_reachable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not environment.hub_reachable()


@pytest.mark.usefixtures("silent_hub")
def test_a_silent_hub_is_an_error_within_five_seconds_that_says_what_to_do():
    started = time.perf_counter()
    with pytest.raises(HubUnreachable, match=r"127\.0\.0\.1.*cf\.start\(profile='tiny'\)") as caught:
        environment.require_hub()
    assert time.perf_counter() - started < 5
    assert isinstance(caught.value, OSError)


@pytest.mark.usefixtures("no_hub")
def test_after_that_error_imported_libraries_ask_nobody():
    import datasets.config
    import huggingface_hub.constants

    with pytest.raises(HubUnreachable):
        environment.require_hub()
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert datasets.config.HF_HUB_OFFLINE
    assert datasets.config.HF_DATASETS_OFFLINE
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.usefixtures("hub_that_answers")
def test_a_hub_that_is_back_is_used_again():
    import huggingface_hub.constants

    environment.go_offline()
    environment.require_hub()
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert "HF_HUB_OFFLINE" not in os.environ


@pytest.mark.usefixtures("no_hub")
def test_what_the_user_has_switched_off_stays_off_and_is_no_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment.require_hub()
    environment.go_offline()
    environment.go_online()
    assert os.environ["HF_HUB_OFFLINE"] == "1"


# Seed and threads


def test_a_seed_fixes_python_numpy_and_torch():
    def draw() -> tuple:
        return random.random(), numpy.random.rand(), torch.rand(3).tolist()

    environment.seed_everything(3)
    first = draw()
    environment.seed_everything(3)
    again = draw()
    environment.seed_everything(4)
    assert first == again != draw()


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A machine of eight cores; set how busy each is, in %."""
    busy = [0.0] * 8
    monkeypatch.setattr(environment, "_cores", lambda: list(range(8)))
    monkeypatch.setattr("psutil.cpu_percent", lambda *_, **__: busy)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield busy
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("busy", "expected"),
    [([0] * 8, 8), ([100, 100, *[0] * 6], 6), ([100] * 8, 1), ([50] * 8, 4), ([99] * 7 + [3], 1)],
)
def test_threads_are_the_idle_cores(busy: list, expected: int, eight_cores: list):
    eight_cores[:] = busy
    for profile in ("laptop", "full"):
        assert environment.set_threads(profile) == torch.get_num_threads() == expected
    assert environment.set_threads("tiny") == torch.get_num_threads() == 1


@pytest.mark.parametrize(("wanted", "expected"), [("3", 3), ("1000", 8), ("", 6), ("many", 6), ("0", 1)])
def test_threads_are_as_many_as_the_variable_asks_for(
    wanted: str, expected: int, eight_cores: list, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    eight_cores[:2] = [100, 100]
    assert environment.set_threads("laptop") == expected
    assert environment.set_threads("tiny") == 1


def test_the_idle_cores_of_this_machine_can_be_counted():
    assert 1 <= environment._idle_cores(0.05) <= len(environment._cores())


# Provenance


def test_versions_are_those_that_run():
    found = environment.versions()
    assert found["torch"] == torch.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_revision_is_the_repositorys(tmp_path, monkeypatch: pytest.MonkeyPatch):
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(environment, "_REPOSITORY", tmp_path)
    assert environment.git_revision() is None  # no repository
    git("init", "--quiet")
    (tmp_path / "cfhelpers").mkdir()
    (tmp_path / "cfhelpers" / "__init__.py").write_text("one\n")
    assert environment.git_revision() is None  # a repository, but another project's
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "HEAD")
    assert environment.git_revision() == commit
    (tmp_path / "cfhelpers" / "__init__.py").write_text("two\n")
    assert environment.git_revision() == f"{commit}-dirty"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process start its peak anew")
def test_peak_memory_counts_bytes_and_starts_anew():
    size = 64 * 2**20
    environment.reset_peak_memory()
    before = environment.peak_memory()
    # Pages of their own: an allocator could hand out what this process holds already, freed by another test.
    with mmap.mmap(-1, size) as pages:
        pages[:: mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)
        assert environment.peak_memory() - before == pytest.approx(size, rel=0.2)
    environment.reset_peak_memory()
    assert environment.peak_memory() - before < size / 2


def test_the_processor_has_a_name():
    assert environment.device_name("cpu")


# Windows: what can be seen from elsewhere

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for folder in ("cfhelpers", "notebooks/source") for path in sorted((ROOT / folder).rglob("*.py"))]
NOT_ON_WINDOWS = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}


def nodes_of(path: Path, kind: type[ast.AST]) -> Iterator:
    return (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kind))


def in_system_encoding(call: ast.Call) -> bool:
    """Whether this call reads or writes text as the system likes it best, which is no UTF-8 on Windows."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg for keyword in call.keywords}
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2) and "encoding" not in given
    if name in ("run", "Popen", "check_output"):
        return bool(given & {"text", "universal_newlines"}) and "encoding" not in given
    texts = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
    of_a_file = name == "open" and ast.unparse(call.func) != "Image.open"
    return of_a_file and "encoding" not in given and not any("b" in text for text in texts if isinstance(text, str))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("path.open('rb')", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, capture_output=True)", False),
    ],
)
def test_calls_in_the_systems_encoding_are_found(code: str, expected: bool):
    (call,) = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    assert in_system_encoding(call) == expected


def test_text_is_utf8_on_every_system():
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in SOURCES
        for call in nodes_of(path, ast.Call)
        if in_system_encoding(call)
    ]
    assert found == []


def test_no_module_needs_what_windows_lacks_when_it_is_imported():
    def imported(path: Path) -> set[str]:
        top = ast.parse(path.read_text(encoding="utf-8")).body
        names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
        return names | {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}

    assert {str(path): missing for path in SOURCES if (missing := imported(path) & NOT_ON_WINDOWS)} == {}


def test_git_gives_every_system_the_same_bytes():
    """Windows' Git is set to other ends of lines; bash takes no script that has them."""
    command = ["git", "-C", str(ROOT), "check-attr", "eol", "--", ".ci/run", "notebooks/source/00_start_here.py"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if found.returncode != 0:
        pytest.skip("no clone, or no Git")
    assert found.stdout.count("eol: lf") == 2
