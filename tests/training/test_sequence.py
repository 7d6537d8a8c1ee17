"""Sequences: the matrix is filled in the right places, runs repeat, interrupted runs go on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cfhelpers.methods import (
    AGEM,
    EWC,
    L2SP,
    MAS,
    DERpp,
    Joint,
    Naive,
    OnlineEWC,
    Replay,
    SynapticIntelligence,
)
from cfhelpers.training.plans import Plan
from cfhelpers.training.records import Record, merge_seeds
from cfhelpers.training.sequence import learn_once, learn_sequence
from tests import toys

PLAN = Plan(steps=40, batch_size=2, learning_rate=1e-2, curve_points=2)
SHORT = Plan(steps=2, batch_size=2, learning_rate=1e-3, curve_points=1)


def once(method, *, role="dialogpt", tasks=("persona", "workplace"), plan=PLAN, seed=0, **settings):
    return learn_once(toys.runtime(seed), role, tasks, method, plan=plan, progress=False, **settings)


def test_a_toy_is_learned_and_then_forgotten():
    record = once(Naive()).record
    matrix = record.matrix()
    assert matrix[0, 0] == 1.0
    assert matrix[1, 1] == 1.0
    assert matrix[1, 0] < 1.0
    assert record.initial == [[0.0, 0.0]]
    assert [entry["step"] for entry in record.curves] == [0, 0, 20, 20, 40, 40, 60, 60, 80, 80]
    assert record.seconds[0] > 0
    assert record.provenance["model"] == "toy"


def test_the_progress_bar_says_which_task_is_being_learned(capsys: pytest.CaptureFixture[str]):
    learn_once(toys.runtime(), "dialogpt", ["persona", "workplace"], Naive(), plan=SHORT)
    shown = capsys.readouterr().err
    assert "naive learns persona, seed 0:" in shown
    assert "naive learns workplace, seed 0: 100%" in shown


def test_two_runs_with_one_seed_are_bitwise_equal_and_another_seed_differs():
    first, second, other = once(Naive()), once(Naive()), once(Naive(), seed=1)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    assert any(
        not torch.equal(tensor, other.model.state_dict()[name]) for name, tensor in first.model.state_dict().items()
    )


def test_a_plan_says_how_large_named_tasks_are_and_how_long_their_sequences():
    asked = []

    class Asked(toys.ToyRuntime):
        def tasks(self, *names, size=None):
            asked.append((names, size))
            return super().tasks(*names)

    run = Asked("tiny", "asked for", "cpu", 1, 0)
    tasks = ["persona", toys.TASKS["workplace"]]  # a task that is made already is taken as it is
    learn_once(run, "dialogpt", tasks, Naive(), plan=replace(SHORT, size=7), stop_after=1, progress=False)
    assert asked == [(("persona",), 7)]
    with pytest.raises(ValueError, match="more than max_length=3"):
        learn_once(run, "dialogpt", tasks, Naive(), plan=replace(SHORT, max_length=3), progress=False)


def test_later_tasks_may_be_of_another_size_and_get_other_steps():
    asked = []

    class Asked(toys.ToyRuntime):
        def tasks(self, *names, size=None):
            asked.append((names, size))
            return super().tasks(*names)

    plan = replace(SHORT, size=7, new_size=3, new_steps=5)
    record = learn_once(
        Asked("tiny", "asked for", "cpu", 1, 0), "dialogpt", ["persona", "workplace"], Naive(), plan=plan,
        progress=False,
    ).record  # fmt: skip
    assert asked == [(("persona",), 7), (("workplace",), 3)]
    assert sorted({each["step"] for each in record.curves}) == [0, 2, 7]
    assert (plan.size_of(2), plan.steps_of(2)) == (3, 5)
    assert (SHORT.size_of(1), SHORT.steps_of(1)) == (None, 2)


METHODS = [
    Naive(), L2SP(0.1), EWC(10.0), Replay(1), Joint(), OnlineEWC(10.0, decay=0.5), MAS(0.01), SynapticIntelligence(0.1),
    AGEM(2, batch_size=2), DERpp(2, batch_size=2),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize(("role", "tasks"), [("dialogpt", ("persona", "workplace")), ("roberta", ("sst2", "topics"))])
def test_going_on_from_a_shared_first_task_equals_a_run_of_its_own(method, role, tasks):
    whole = once(method, role=role, tasks=tasks, plan=SHORT)
    first = once(Naive(), role=role, tasks=tasks, plan=SHORT, stop_after=1)
    before = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
    continued = first.then(method, progress=False)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, continued.model.state_dict()[name]), name
    np.testing.assert_array_equal(whole.record.results, continued.record.results)
    assert all(torch.equal(tensor, first.model.state_dict()[name]) for name, tensor in before.items())
    assert first.n_learned == 1


def test_only_a_plain_first_task_can_be_shared():
    first = once(EWC(1.0), plan=SHORT, stop_after=1)
    with pytest.raises(ValueError, match="plainly"):
        first.then(Naive())


def test_scores_before_a_task_has_a_head_are_missing():
    record = once(Naive(), role="roberta", tasks=("sst2", "topics"), plan=SHORT).record
    assert np.isnan(record.initial).all()
    assert math.isnan(record.matrix()[0, 1])
    assert not np.isnan(record.matrix()[1]).any()


def test_ewc_keeps_more_of_the_toy_than_naive_training():
    naive = once(Naive())
    ewc = once(EWC(1e4))
    start = once(Naive(), stop_after=1).model.state_dict()

    def distance(learned) -> float:
        return sum(float((tensor - start[name]).square().sum()) for name, tensor in learned.model.state_dict().items())

    assert distance(ewc) < distance(naive)
    assert ewc.record.losses[-1]["penalty"] > 0
    assert all("penalty" not in entry for entry in ewc.record.losses if entry["training"] == "persona")
    weights = sum(parameter.numel() for parameter in naive.model.parameters())
    assert ewc.record.stored_bytes == 8 * weights  # importance and anchor in float32, of one finished task


def test_joint_restarts_from_the_base_and_spends_the_same_budget_in_all():
    joint = once(Joint())
    assert isinstance(joint.method, Joint)
    assert joint.record.matrix()[1].tolist() == [1.0, 1.0]
    untouched = toys.causal_model(0).state_dict()
    assert all(torch.equal(tensor, joint.method.base[name]) for name, tensor in untouched.items())
    steps = [entry["step"] for entry in joint.record.losses if entry["training"] == "workplace"]
    assert (min(steps) > PLAN.steps, max(steps)) == (True, 3 * PLAN.steps)  # one budget, then two from the base


def test_replay_mixes_the_training_split_of_old_tasks_and_nothing_else():
    replay = once(Replay(1, share=0.5), plan=SHORT).method
    assert isinstance(replay, Replay)
    assert list(replay.kept) == ["persona"]
    encoded = once(Naive(), plan=SHORT).tasks
    mixed = replay.training_data(encoded[1], [encoded[0]])
    assert len(mixed) == 2 * len(encoded[1].train)
    assert {tuple(ids) for ids in mixed["input_ids"][2:]} <= {tuple(ids) for ids in encoded[0].train["input_ids"]}


def test_seeds_are_kept_as_they_finish_and_a_second_call_does_only_what_is_missing(tmp_path):
    path = tmp_path / "record.json"
    whole = learn_sequence(
        toys.runtime(), "dialogpt", ["persona", "workplace"], Naive(), seeds=(0, 1), plan=SHORT, progress=False
    )
    learn_sequence(
        toys.runtime(), "dialogpt", ["persona", "workplace"], Naive(), seeds=(0,), plan=SHORT, path=path, progress=False
    )
    calls = []

    class Counting(toys.ToyRuntime):
        def load(self, role):
            calls.append(self.seed)
            return super().load(role)

    run = Counting("tiny", "asked for", "cpu", 1, 0)
    resumed = learn_sequence(
        run, "dialogpt", ["persona", "workplace"], Naive(), seeds=(0, 1), plan=SHORT, path=path, progress=False
    )
    assert calls == [1]
    np.testing.assert_allclose(resumed.results, whole.results)
    assert Record.load(path).seeds == [0, 1]
    with pytest.raises(ValueError, match="another experiment: method"):
        learn_sequence(toys.runtime(), "dialogpt", ["persona", "workplace"], EWC(1.0), plan=SHORT, path=path)


def test_measured_extras_have_one_list_per_seed_and_one_number_per_task():
    record = learn_sequence(
        toys.runtime(), "dialogpt", ["persona", "workplace"], Naive(), seeds=(0, 1), plan=SHORT,
        measure=lambda learned: {"learned": float(learned.n_learned)}, progress=False,
    )  # fmt: skip
    assert record.extra == {"untouched learned": [0.0, 0.0], "learned": [[1.0, 2.0], [1.0, 2.0]]}


@pytest.mark.parametrize(
    ("tasks", "plan", "message"),
    [
        ((), PLAN, "at least one task"),
        (("persona", "sst2"), PLAN, "of several: classification, dialogue"),
        (("persona", "persona"), PLAN, "name of its own"),
        (("persona",), Plan(0, 2, 1e-3), "at least one step"),
        (("persona",), Plan(1, 2, 0.0), "positive learning rate"),
    ],
)
def test_a_sequence_that_makes_no_sense_is_refused(tasks, plan, message):
    with pytest.raises(ValueError, match=message):
        once(Naive(), tasks=tasks, plan=plan)


@pytest.mark.parametrize(
    ("role", "tasks", "message"),
    [
        ("dialogpt", ["sst2", "topics"], r"causal language model.*'sst2'.*'classification'.*'roberta' or 'bert'"),
        ("roberta", ["persona"], r"an encoder.*'persona'.*'dialogue'.*'dialogpt' or 'gpt2'"),
    ],
)
def test_a_role_that_cannot_learn_the_tasks_is_refused(role, tasks, message):
    with pytest.raises(ValueError, match=message):
        learn_once(toys.runtime(), role, tasks, Naive(), progress=False)


def test_no_seeds_and_bad_settings_are_refused():
    with pytest.raises(ValueError, match="at least one seed"):
        learn_sequence(toys.runtime(), "dialogpt", ["persona"], Naive(), seeds=())
    with pytest.raises(ValueError, match="strength"):
        EWC(-1.0)
    with pytest.raises(ValueError, match="strength"):
        L2SP(float("nan"))
    with pytest.raises(ValueError, match="buffer_size"):
        Replay(0)
    with pytest.raises(ValueError, match="share"):
        Replay(1, share=1.0)


def test_records_of_different_experiments_do_not_merge():
    one, two = once(Naive(), plan=SHORT).record, once(EWC(1.0), plan=SHORT, seed=1).record
    with pytest.raises(ValueError, match="differ in method"):
        merge_seeds([one, two])
    with pytest.raises(ValueError, match="share a seed"):
        merge_seeds([one, one])
