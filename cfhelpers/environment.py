"""The machine and what it allows: profile, device, threads, seed, the hub, versions, memory."""

import http.client
import os
import platform
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PROFILES = ("tiny", "laptop", "full")
DEFAULT_ENDPOINT = "https://huggingface.co"
_LIBRARIES = ("cfhelpers", "torch", "transformers", "datasets", "peft", "accelerate", "numpy")
# Set beside HF_HUB_OFFLINE when we have switched it on, so that a process we start can tell it from the user's wish.
_OFFLINE_BY_US = "CF_SWITCHED_HUB_OFF"
_REPOSITORY = Path(__file__).resolve().parent.parent


class HubUnreachable(OSError):
    """The Hugging Face hub is needed and does not answer."""


@dataclass(frozen=True)
class ProfileChoice:
    """A profile and, in words, why it is the one."""

    name: str
    reason: str


def resolve_profile(profile: str | None = None) -> ProfileChoice:
    """Choose the profile: the argument, else ``CF_PROFILE``, else ``tiny``, on whatever machine.

    Args:
        profile: ``"tiny"``, ``"laptop"``, ``"full"`` or None.

    Raises:
        ValueError: There is no such profile.
    """
    asked, reason = profile, "asked for"
    if asked is None and os.environ.get("CF_PROFILE"):
        asked, reason = os.environ["CF_PROFILE"], "from the environment variable CF_PROFILE"
    if asked is None:
        asked, reason = "tiny", "the default"
    if asked not in PROFILES:
        raise ValueError(f"unknown profile {asked!r} ({reason}); there are {', '.join(PROFILES)}")
    return ProfileChoice(asked, reason)


def pick_device(profile: str) -> str:
    """Return ``"cuda"`` where it helps, else ``"cpu"``.

    The tiny models stay on the CPU: a GPU would not make them faster, and on it their numbers would differ from the
    stored ones.
    """
    import torch

    return "cuda" if profile != "tiny" and torch.cuda.is_available() else "cpu"


def device_name(device: str = "cpu") -> str:
    """Name the processor or the graphics card, for provenance."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if (information := Path("/proc/cpuinfo")).exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def set_threads(profile: str) -> int:
    """Tell torch how many threads to use, and return how many.

    ``tiny`` takes one: a second gains it 5 %, and with one its numbers are the same on any number of cores. The other
    profiles take a thread for each core that is idle now. OpenMP's threads wait for each other by spinning, so threads
    that have to share cores with another program lose far more than they share (10 × measured). ``OMP_NUM_THREADS``,
    where it is set, is taken in place of what is idle.
    """
    import torch

    threads = 1 if profile == "tiny" else _wanted_threads() or _idle_cores()
    torch.set_num_threads(threads)
    return threads


def _cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _wanted_threads() -> int | None:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(len(_cores()), int(wanted))) if wanted.isdecimal() else None


def _idle_cores(seconds: float = 0.3) -> int:
    """Watch this process's cores for a moment, while it sleeps, and count those that nobody uses; at least one."""
    import psutil

    busy = psutil.cpu_percent(seconds, percpu=True)
    return max(1, round(sum(1 - busy[core] / 100 for core in _cores())))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device, and prefer deterministic algorithms.

    Two runs with one seed are then bitwise equal on the same machine with the same number of threads.
    """
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)  # every CUDA device too
    # warn_only: an operation without a deterministic form says so and goes on.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory would only cost time, because nothing reads it. (A property that pyright cannot see.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.enable_mem_efficient_sdp(False)  # its backward adds in no fixed order


def hub_endpoint() -> str:
    """Return the address of the hub: ``HF_ENDPOINT``, else the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT


def hub_reachable(timeout: float = 3.0) -> bool:
    """Ask the hub for one header and wait ``timeout`` seconds for it at most."""
    return answers(hub_endpoint(), timeout)


def answers(address: str, timeout: float = 3.0) -> bool:
    """Ask a server for one header and wait ``timeout`` seconds for it at most, name look-up included.

    The request runs in a thread of its own, because no socket time-out covers a name server that does not answer or
    a server that sends one byte at a time.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "cfhelpers"})
            urllib.request.urlopen(request, timeout=timeout).close()
        except urllib.error.HTTPError as error:
            if error.code >= 500 or error.code == 407:  # a gateway or proxy answered, not the server
                return
        except (OSError, ValueError, http.client.HTTPException):  # no connection; no address; no HTTP
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout)
    return answered.is_set()


def require_hub() -> None:
    """Make sure that files can be had from the hub, or fail at once.

    With ``HF_HUB_OFFLINE`` set by the user nothing is asked: they have the files already, and the libraries say
    within a second which one is missing.

    Raises:
        HubUnreachable: The hub does not answer; the hub's libraries are now switched offline, so that nothing waits.
    """
    if _offline_by_user():
        return
    if hub_reachable():
        go_online()
        return
    go_offline()
    raise HubUnreachable(
        f"the profile 'full' takes models and data from {hub_endpoint()}, which does not answer. Check the network "
        "(and HTTPS_PROXY or HF_ENDPOINT, if you use them), or set HF_HUB_OFFLINE=1 if everything is downloaded "
        "already, or take a profile that needs no network: cf.start(profile='tiny') or cf.start(profile='laptop')."
    )


def go_offline() -> None:
    """Stop the hub's libraries, imported or not, from asking the network; a dead hub would cost minutes a file."""
    if not _offline_by_user():
        os.environ |= {"HF_HUB_OFFLINE": "1", _OFFLINE_BY_US: "1"}
    _tell_libraries(offline=True)


def go_online() -> None:
    """Undo ``go_offline``, and nothing that the user has set."""
    if os.environ.pop(_OFFLINE_BY_US, None):
        os.environ.pop("HF_HUB_OFFLINE", None)
        _tell_libraries(offline=False)


def _offline_by_user() -> bool:
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return is_offline and _OFFLINE_BY_US not in os.environ


def _tell_libraries(offline: bool) -> None:
    """The libraries read the environment when they are imported; set what they have read."""
    settings = {
        "huggingface_hub.constants": ("HF_HUB_OFFLINE",),
        "datasets.config": ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"),
    }
    for module, names in settings.items():
        if module in sys.modules:
            for name in names:
                setattr(sys.modules[module], name, offline)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # the package run from its folder, not installed
            continue
    if "torch" in sys.modules:  # with its build, such as +cu130, which the metadata of PyPI's wheels lack
        found["torch"] = str(sys.modules["torch"].__version__)
    return found


def git_revision() -> str | None:
    """Return the commit of the library's repository, with ``-dirty`` after changes; None when installed without one."""
    command = ["git", "-C", str(_REPOSITORY)]
    try:
        subprocess.run(
            [*command, "ls-files", "--error-unmatch", "cfhelpers/__init__.py"], check=True, capture_output=True
        )
        described = subprocess.run(
            [*command, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"],
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def busy_seconds(device: str = "cpu") -> float:
    """Read the clock that training time is taken with; only differences mean something.

    On the CPU it is the processor time of the calling thread, which other programs on the machine do not lengthen; on
    CUDA, where this thread mostly waits, the time on the wall once the card has finished.
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.thread_time()


def reset_peak_memory(device: str = "cpu") -> None:
    """Start ``peak_memory`` anew, on CUDA and on Linux; elsewhere the peak is the whole process's."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif (switch := Path("/proc/self/clear_refs")).exists():
        switch.write_text("5", "utf-8")


def peak_memory(device: str = "cpu") -> int:
    """Return the largest memory used, in bytes: allocated on the card, or resident in this process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    if (status := Path("/proc/self/status")).exists():
        for line in status.read_text("utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
