"""CONTRIBUTING.md: its table is the one that is enforced, its method works, its paths exist."""

import re
from pathlib import Path

import pytest

from cfhelpers.methods import Naive
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from tests import toys
from tests.test_architecture import FLOORS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


NAMED = sorted(set(re.findall(r"`((?:cfhelpers|tests|notebooks)/[\w/.]*)`", TEXT)))


def test_the_floors_are_those_that_are_enforced():
    rows = {name: int(floor) for floor, name in re.findall(r"^\| (\d) \| `(\w+)` \|", TEXT, re.MULTILINE)}
    assert rows == FLOORS


# peft asks transformers under a name that will be dropped.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_method_shown_is_short_and_learns_with_its_adapter_alone():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 20
    namespace: dict = {"__name__": "contributed"}
    exec(code, namespace)
    method = namespace["SharedLoRA"](rank=2)
    plan = Plan(steps=60, batch_size=2, learning_rate=1e-9, curve_points=1)  # the method has a rate of its own
    both = learn_once(toys.runtime(), "dialogpt", ["persona", "workplace"], method, plan=plan, progress=False)
    untouched = dict(toys.causal_model().named_parameters())
    trained, frozen = [], 0
    for name, parameter in both.model.named_parameters():
        if parameter.requires_grad:
            trained.append(name)
        else:
            original = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert parameter.equal(untouched[original])
            frozen += 1
    assert frozen == len(untouched)
    assert all("lora_" in name for name in trained)
    assert both.record.results[0][0][0] == both.record.results[0][1][1] == 1.0
    assert both.record.method == {"name": "one_adapter", "rank": 2, "learning_rate": 5e-3}
    plain = learn_once(toys.runtime(), "dialogpt", ["persona"], Naive(), plan=plan, progress=False)
    assert plain.record.results[0][0][0] < 1.0  # at the plan's own rate nothing is learned


@pytest.mark.parametrize("path", [path for path in NAMED if "NN" not in path])  # a chapter yet to be written
def test_what_it_names_is_there(path: str):
    assert (ROOT / path).exists()
