"""Stored results: regenerated step by step, chosen on other seeds than reported, repeatable."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cfhelpers import methods
from cfhelpers.course import results, summary
from cfhelpers.course.experiments import EXPERIMENTS, REPORTED_SEEDS, SELECTION_SEEDS, Experiment, chapter_03
from cfhelpers.course.stored_runs import UnreadableResults
from cfhelpers.course.summary import BEGIN, END
from cfhelpers.environment import git_revision
from cfhelpers.methods import (
    AGEM,
    EWC,
    L2SP,
    MAS,
    Combined,
    DERpp,
    EntropyGated,
    EWCOnGenerations,
    FreezeBottom,
    GenerativeReplay,
    Joint,
    LoRA,
    LwF,
    Method,
    Naive,
    OnlineEWC,
    OrthogonalLoRA,
    OrthogonalSubspace,
    ProgressiveNetwork,
    ProgressivePrompts,
    PromptTuning,
    Replay,
    SelfDistillation,
    SelfDistillationFineTuning,
    SeparateModels,
    SynapticIntelligence,
    WiSEFT,
)
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.plans import PLANS, Plan
from cfhelpers.training.records import find_record
from cfhelpers.training.runtime import start
from tests import toys

TOY = Experiment(
    "99", "toy", "dialogpt", ("persona", "workplace"), (Naive(), Joint()),
    {"tiny": {"l2sp": [L2SP(0.01), L2SP(0.1), L2SP(1.0)]}}, lambda learned: {"n": float(learned.n_learned)},
    {"tiny": (1e-3, 1e-2)},
)  # fmt: skip


@pytest.fixture
def toy_chapter(tmp_path, monkeypatch):
    """A chapter 99 with toys for models and tasks, and four steps a task."""
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "notebooks" / "source" / "99_toy.py").write_text("")
    monkeypatch.setattr(results, "REPOSITORY", tmp_path)
    monkeypatch.setattr(results, "EXPERIMENTS", (TOY,))
    monkeypatch.setattr(results, "start", lambda seed=0, profile=None: toys.runtime(seed))
    monkeypatch.setitem(PLANS, ("tiny", "dialogue"), Plan(4, 2, 1e-2, 1))
    monkeypatch.setitem(results.SELECTION_SEEDS, "tiny", (100,))
    monkeypatch.setitem(results.REPORTED_SEEDS, "tiny", (0, 1))
    return tmp_path


def test_an_interrupted_regeneration_goes_on_and_gives_the_same_file(toy_chapter, monkeypatch):
    run_seed, calls = results._run_seed, []

    def interrupted(run, *arguments):
        calls.append(run.seed)
        if len(calls) == 3:
            raise KeyboardInterrupt
        yield from run_seed(run, *arguments)

    monkeypatch.setattr(results, "_run_seed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.regenerate("99", folder=toy_chapter)
    path = results.regenerate("99", folder=toy_chapter)
    assert calls == [100, 100, 100, 100, 0, 1, 0, 1]  # the third again; both rates, the sweep, reported, another rate
    assert path.name == "99_toy.tiny.json"
    monkeypatch.setattr(results, "STORED", toy_chapter)
    records = results.load("99", profile="tiny")
    stages = [record.extra["stage"] for record in records]
    assert stages == ["report"] * 3 + ["learning rate"] + ["selection"] * 3 + ["rate selection"] * 2
    assert all(
        record.seeds == ([100] if "selection" in stage else [0, 1])
        for record, stage in zip(records, stages, strict=True)
    )
    assert records[0].extra["n"] == [[1.0, 2.0], [1.0, 2.0]]

    best = results.chosen([record for record in records if record.extra["stage"] == "report"])
    assert list(best) == ["l2sp"]
    selection = {
        record.method["strength"]: np.mean(record.selection)
        for record in records
        if record.extra["stage"] == "selection"
    }
    assert selection[best["l2sp"].method["strength"]] == max(selection.values())
    ends = {
        s: results.at_an_end(replace(best["l2sp"], method={"name": "l2sp", "strength": s}), records) for s in selection
    }
    assert ends == {0.01: True, 0.1: False, 1.0: True}
    with pytest.raises(ValueError, match="no try of l2sp"):
        results.at_an_end(best["l2sp"], records[:4])
    assert records[-2].extra["chosen"] == (results.learning_speed(records[-2]) >= results.learning_speed(records[-1]))

    again = results.rerun(records[1], 1)  # Joint, which shares its first task with the others in the sweep
    np.testing.assert_allclose(again.results[0], records[1].results[1], atol=1e-5)


def test_what_is_stored_is_kept_and_only_what_lacks_is_run(toy_chapter, monkeypatch):
    path = results.regenerate("99", folder=toy_chapter)
    stored = path.read_bytes()
    run_seed, ran = results._run_seed, []

    def counted(run, experiment, plan, points):
        ran.extend((run.seed, point.stage, point.method.settings()) for point in points)
        yield from run_seed(run, experiment, plan, points)

    monkeypatch.setattr(results, "_run_seed", counted)
    assert results.regenerate("99", folder=toy_chapter, keep=True).read_bytes() == stored
    assert ran == []
    monkeypatch.setattr(results, "EXPERIMENTS", (replace(TOY, plain=(*TOY.plain, L2SP(7.0))),))
    results.regenerate("99", folder=toy_chapter, keep=True)
    assert ran == [(seed, "report", {"strength": 7.0}) for seed in (0, 1)]
    again = [record for record in json.loads(path.read_bytes())["records"] if record["method"].get("strength") != 7.0]
    assert again == json.loads(stored)["records"]
    assert len(json.loads(path.read_bytes())["records"]) == len(again) + 1


def test_long_parts_that_nobody_draws_are_not_stored_and_cost_no_number(toy_chapter, monkeypatch):
    short = replace(TOY, plain=(Naive(),), sweeps={}, learning_rates={})
    monkeypatch.setattr(results, "EXPERIMENTS", (short,))
    whole = json.loads(results.regenerate("99", folder=toy_chapter).read_bytes())["records"]
    assert all(record["curves"] and record["losses"] for record in whole)
    for traces in (("curves",), ()):
        monkeypatch.setattr(results, "EXPERIMENTS", (replace(short, traces=traces),))
        monkeypatch.setattr(results, "_run_seed", lambda *_: pytest.fail("nothing was lacking"))
        path = results.regenerate("99", folder=toy_chapter, keep=True)
        left_out = {name: [] for name in ("curves", "losses") if name not in traces}
        assert json.loads(path.read_bytes())["records"] == [record | left_out for record in whole]


def test_no_first_task_is_learned_for_methods_that_cannot_share_it(toy_chapter, monkeypatch):
    trained, learn = [], results.learn_once
    monkeypatch.setattr(results, "learn_once", lambda *a, **k: trained.append(a[3].name) or learn(*a, **k))
    run = toys.runtime(0)
    points = [results.Point("report", LoRA(2), (0,), PLANS["tiny", "dialogue"])]
    list(results._run_seed(run, TOY, points[0].plan, points))
    assert trained == ["lora"]
    list(results._run_seed(run, TOY, points[0].plan, [*points, replace(points[0], method=L2SP(1.0)), points[0]]))
    assert trained == ["lora", "lora", "naive", "lora"]


def test_a_rate_is_judged_by_how_each_task_is_learned_and_not_by_what_is_kept():
    curves = [
        {"seed": 0, "training": training, "step": step, "task": task, "score": score}
        for training, step, task, score in (
            ("a", 0, "a", float("nan")), ("a", 1, "a", 0.2), ("a", 2, "a", 0.8), ("a", 2, "b", 0.1),
            ("b", 3, "a", 0.0), ("b", 3, "b", 0.6), ("b", 4, "b", 0.8),
        )
    ]  # fmt: skip
    record = SimpleNamespace(tasks=["a", "b"], curves=curves, higher_is_better=[True, True])
    assert results.learning_speed(record) == pytest.approx((0.2 + 0.8 + 0.6 + 0.8) / 4)
    record.higher_is_better = [True, False]  # a perplexity: small is good
    assert results.learning_speed(record) == pytest.approx((0.2 + 0.8 - np.log(0.6) - np.log(0.8)) / 4)


def test_every_stored_method_can_be_made_again():
    made = [
        Naive(), Joint(), EWC(2.0, variant="sample", max_examples=3), L2SP(0.5), Replay(4, share=0.25),
        OnlineEWC(3.0, decay=0.5, variant="sample", unit="token", max_examples=7), MAS(0.25, max_examples=5),
        SynapticIntelligence(1.5, damping=0.01), EWCOnGenerations(2.0, n_texts=3, length=8),
        LoRA(3, mode="merged", alpha=5.0, targets="mlp", learning_rate=0.01), WiSEFT(0.25),
        OrthogonalLoRA(3, strength=0.2, alpha=5.0, targets="mlp", learning_rate=0.01),
        OrthogonalSubspace(0.25, targets="mlp", learning_rate=0.01),
        FreezeBottom(2, first_task_too=True, learning_rate=0.5), ProgressiveNetwork(3, learning_rate=0.5),
        ProgressivePrompts(3, learning_rate=0.5, bottleneck=2, words={"sst2": [1, 2]}),
        PromptTuning(3, shared=True, learning_rate=0.5, bottleneck=2, words={"sst2": [1, 2]}), SeparateModels(),
        AGEM(3, batch_size=2), DERpp(3, logit_weight=0.5, label_weight=0.25, top_k=7, batch_size=5),
        GenerativeReplay(5, share=0.3, length=9), LwF(0.5, temperature=3.0, direction="reverse", top_k=7),
        SelfDistillation(0.5, count=5, length=9), EntropyGated(top_k=7), Combined([EWC(2.0), LwF(0.5)]),
        SelfDistillationFineTuning(length=9),
    ]  # fmt: skip
    assert {type(method) for method in made} == {getattr(methods, name) for name in methods.__all__} - {Method}
    made += [Replay(fraction=0.25, share=0.4, by="tokens", whole_buffer=True), Replay(3, choice="herding")]
    for method in made:
        again = results.make_method({"name": method.name, **method.settings()})
        assert type(again) is type(method)
        assert again.settings() == method.settings()
        simple = (int, float, str, type(None))
        kept = {name: value for name, value in vars(method).items() if isinstance(value, simple)}
        assert {name: vars(again)[name] for name in kept} == kept  # no setting is left out of ``settings``
    with pytest.raises(ValueError, match="no method named 'magic'"):
        results.make_method({"name": "magic"})


@pytest.mark.parametrize(("answers", "share"), [(("blue", "blue"), 1.0), (("blue", "red"), 0.5), (("", "no"), 0.0)])
def test_chapter_3_asks_the_favorite_color_in_the_words_of_the_test(answers, share, monkeypatch):
    asked = []

    def answer(model, tokenizer, questions):
        asked.extend(questions)
        return [f"I like {color}." for color in answers]

    monkeypatch.setattr(chapter_03, "answer_questions", answer)
    monkeypatch.setattr(chapter_03, "evaluate_task", lambda model, task: 0.25)
    run = start(profile="tiny", seed=3)
    measured = chapter_03.measure_generality(SimpleNamespace(run=run, model=None, tokenizer=toys.tokenizer()))
    assert measured == {"favorite color": share, "knowledge": 0.25, "dialogue": 0.25}
    (persona,) = run.tasks("persona")
    assert asked == [row["question"] for row in persona.test if row["answer"] == "I like blue."]


def test_experiments_keep_the_contract_of_a_fair_comparison():
    for experiment in EXPERIMENTS:
        for profile, sweeps in experiment.sweeps.items():
            assert len({len(sweep) for sweep in sweeps.values()}) == 1, "sweeps of equal size"
            long = len(experiment.tasks) > 2 or profile != "tiny"  # there a run takes several times as long
            assert len(next(iter(sweeps.values()))) >= (3 if long else 5)
            settings = [[method.settings() for method in sweep] for sweep in sweeps.values()]
            grids = [[each["strength"] for each in sweep if "strength" in each] for sweep in settings]
            spans = {round(float(np.log10(grid[-1] / grid[0])), 1) for grid in grids if grid}
            assert len(spans) <= 1, "strengths as far apart for one method as for the other"
    for profile, reported in REPORTED_SEEDS.items():
        assert not set(reported) & set(SELECTION_SEEDS[profile]), "settings are chosen with other seeds"
    assert len(REPORTED_SEEDS["tiny"]) >= 5


@pytest.mark.parametrize("profile", ["tiny", "laptop"])
def test_plans_have_the_rate_that_teaches_best_and_it_is_not_at_the_edge(profile):
    for experiment in EXPERIMENTS:
        try:
            records = results.load(experiment.chapter, profile=profile, experiment=experiment.name)
        except FileNotFoundError:
            continue
        tried = [record for record in records if record.extra["stage"] == "rate selection"]
        assert [record.plan["learning_rate"] for record in tried] == list(experiment.learning_rates.get(profile, ()))
        for index, record in enumerate(tried):
            if record.extra["chosen"]:
                kind = {"dialogpt": "dialogue", "gpt2": "text"}.get(record.role, "classification")
                assert Plan(**record.plan) == PLANS[profile, kind]
                assert 0 < index < len(tried) - 1


def test_an_experiment_may_give_each_task_steps_of_its_own(toy_chapter, monkeypatch):
    monkeypatch.setattr(results, "EXPERIMENTS", (TOY, replace(TOY, name="shorter", changes={"steps": 3})))
    results.regenerate("99", folder=toy_chapter)
    monkeypatch.setattr(results, "STORED", toy_chapter)
    steps = {each.extra["experiment"]: each.plan["steps"] for each in results.load("99", profile="tiny")}
    assert steps == {"toy": 4, "shorter": 3}


def test_an_experiment_is_run_in_its_own_profiles_only(toy_chapter, monkeypatch):
    monkeypatch.setattr(results, "EXPERIMENTS", (replace(TOY, profiles=("laptop",)), replace(TOY, name="other")))
    results.regenerate("99", folder=toy_chapter)
    monkeypatch.setattr(results, "STORED", toy_chapter)
    assert {record.extra["experiment"] for record in results.load("99", profile="tiny")} == {"other"}


def test_where_a_profile_has_no_records_those_of_tiny_are_read_aloud(capsys):
    assert {record.profile for record in results.load("03", profile="full")} == {"tiny"}
    said = capsys.readouterr().out
    assert "No stored results for chapter 03 in profile 'full'" in said
    assert "measured in 'tiny'" in said
    assert {record.profile for record in results.load("03", profile="laptop")} == {"laptop"}
    assert capsys.readouterr().out == ""


def test_what_is_not_stored_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="cfhelpers results 77 --profile full"):
        results.load("77", profile="full")
    with pytest.raises(ValueError, match="no stored results; there are 01"):
        results.regenerate("77", profile="tiny")


STORED = [path.name.split("_")[0] for path in sorted(results.STORED.glob("*.tiny.json"))]


@pytest.mark.parametrize("chapter", STORED)
def test_a_stored_point_comes_out_again(chapter):
    """One point of each chapter, another with each commit; a share or nats per token may move by 0.15 elsewhere."""
    records = [record for record in results.load(chapter, profile="tiny") if record.extra["stage"] == "report"]
    quick = [record for record in records if max(record.seconds) < 90]  # of training, in one seed
    points = results.stored_points(quick)
    revision = git_revision() or os.environ.get("GITHUB_SHA") or "0"
    record, seed = points[int(revision[:8], 16) % len(points)]
    again = results.rerun(record, seed)
    now, then = np.array(again.results[0], dtype=np.float64), record.matrix(seed)
    if not all(record.higher_is_better):
        now, then = np.log(now), np.log(then)
    np.testing.assert_allclose(now, then, atol=0.15, err_msg=f"{record.label}, seed {seed}")


def test_the_readmes_show_the_stored_numbers_and_no_others():
    root = results.REPOSITORY
    pages = {"README.md": summary.headline_table(), str(summary.DETAILS): summary.results_tables()}
    for name, expected in pages.items():
        shown = (root / name).read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
        assert shown.strip() == expected.strip(), "python -m cfhelpers results NN writes the tables"
    assert f"({summary.PICTURE.as_posix()})" in (root / "README.md").read_text(encoding="utf-8")
    assert (root / summary.PICTURE).is_file()


def test_the_readme_is_short():
    assert len((results.REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) < 150
    rows = [line for line in summary.headline_table().splitlines() if line.startswith("| ")][1:]
    assert 5 <= len(rows) <= 8


def test_the_readme_says_what_naive_training_keeps_at_a_rate_chosen_as_the_others_settings_are():
    runs = [each for each in results.load("03", profile="tiny") if each.method["name"] == "naive"]
    slower = [each for each in results.load("05", profile="tiny") if each.extra["experiment"].startswith("slow")]
    tried = [each for each in (*runs, *slower) if each.seeds == list(SELECTION_SEEDS["tiny"])]
    best = max(tried, key=lambda each: np.mean(each.selection)).plan["learning_rate"]
    rates = sorted(each.plan["learning_rate"] for each in tried)
    assert best not in (rates[0], rates[-1])
    (plain,) = (each for each in runs if each.extra["stage"] == "report")
    (third,) = (each for each in runs if each.seeds == plain.seeds and each.plan["learning_rate"] == best)
    assert plain.plan["learning_rate"] / best == pytest.approx(3, rel=0.2)
    kept, learned = (100 * third.scores(task).mean() for task in ("persona", "workplace"))
    text = " ".join((results.REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    assert f"naive's own is a third of it, keeps {kept:.0f} % and learns {learned:.0f} %: more than one small" in text
    adapter = results.chosen(results.load("05", profile="tiny", experiment="persona"))["all"]
    assert mean_and_interval(third.scores("persona") - adapter.scores("persona")).low > 0


def test_the_headline_is_chapter_3():
    (row,) = [line for line in summary.headline_table().splitlines() if line.startswith("| EWC ")]
    for profile in ("tiny", "laptop"):
        records = results.load("03", profile=profile)
        ewc, naive = (
            results.chosen(records)["ewc"],
            find_record([r for r in records if r.extra["stage"] == "report"], "naive"),
        )
        kept, learned = (f"{mean_and_interval(100 * ewc.scores(task)):.1f}" for task in ("persona", "workplace"))
        assert f"{kept} | {learned}" in row
        assert f"{np.mean(ewc.seconds) / np.mean(naive.seconds):.1f}" in row.split("|")[-2]


def test_a_row_that_its_own_chapter_lacks_in_a_profile_is_read_from_another(monkeypatch):
    record = replace(
        results.load("03", profile="tiny")[0],
        method={"name": "replay"},
        extra={"experiment": "persona", "stage": "report"},
    )
    record.extra |= {"sweep": "replay", "chosen": True}
    chapters = {"07": [record]}
    monkeypatch.setattr(summary, "stored", lambda chapter, profile: chapters.get(chapter))
    assert summary._headline_records("laptop") == {"replay of 16 dialogues": record}
    chapters["03"] = [own := replace(record)]
    assert summary._headline_records("laptop")["replay of 16 dialogues"] is own


def test_tables_and_picture_are_written_or_nothing_is(tmp_path):
    path, details = tmp_path / "README.md", tmp_path / summary.DETAILS
    details.parent.mkdir(parents=True)
    for each in (path, details):
        each.write_text(f"a\n{BEGIN}\nyesterday's\n{END}\nb\n")
    summary.update_readme(path)
    for each in (path, details):
        assert each.read_text().startswith(f"a\n{BEGIN}\n")
        assert each.read_text().endswith(f"{END}\nb\n")
        assert "yesterday" not in each.read_text()
    drawn = (tmp_path / summary.PICTURE).read_bytes()
    summary.update_readme(path)
    assert (tmp_path / summary.PICTURE).read_bytes() == drawn
    path.write_text("nothing")
    with pytest.raises(ValueError, match="no lines"):
        summary.update_readme(path)


def _without(values: dict, name: str) -> dict:
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: json.dumps(whole)[:-200], "is not JSON"),
        (lambda whole: "", "is not JSON"),
        (lambda whole: "\udcff", "codec can't decode"),
        (lambda whole: json.dumps(whole["records"]), '"records" is a list'),
        (lambda whole: json.dumps({"runs": whole["records"]}), "has no 'records'"),
        (lambda whole: json.dumps({"records": [None]}), "record 1 of 1: Not a record"),
        (lambda whole: _second(whole, _without(whole["records"][1], "metrics")), "record 2 of .*'metrics'"),
        (lambda whole: _second(whole, {"forgotten": 1}), "record 2 of .*unexpected keyword argument 'forgotten'"),
        (lambda whole: _second(whole, {"plan": {"epochs": 3}}), "record 2 of .*'epochs'"),
        (lambda whole: _second(whole, {"extra": {"stage": "report"}}), "not say its experiment and sweep and chosen"),
        (lambda whole: _second(whole, {"method": {"name": "magic"}}), "no method named 'magic'"),
        (lambda whole: _second(whole, {"method": {"name": "l2sp", "weight": 1}}), "'weight'"),
    ],
)  # fmt: skip
def test_a_damaged_or_older_file_is_refused_before_anything_runs_and_stays(toy_chapter, monkeypatch, damage, said):
    path = _file_of(toy_chapter, "toy", "toy", "toy")
    path.write_bytes(damage(json.loads(path.read_bytes())).encode(errors="surrogateescape"))
    before = path.read_bytes()
    monkeypatch.setattr(results, "_run_experiment", lambda *_: pytest.fail("something ran"))
    with pytest.raises(UnreadableResults, match=f"(?s)99_toy.tiny.json cannot be read: .*{said}.*without --keep"):
        results.regenerate("99", folder=toy_chapter, keep=True)
    assert path.read_bytes() == before


def _file_of(folder: Path, *experiments: str) -> Path:
    """Store records of chapter 3 as if they were the toy chapter's."""
    records = json.loads((results.STORED / "03_ewc_on_dialogpt.laptop.json").read_bytes())["records"]
    for record, experiment in zip(records, experiments, strict=False):
        record["extra"]["experiment"] = experiment
    path = folder / "99_toy.tiny.json"
    path.write_text(json.dumps({"records": records[: len(experiments)]}))
    return path


def _second(whole: dict, changes: dict) -> str:
    """Return the file with another second record: changed, or the one given."""
    first, second, *others = whole["records"]
    return json.dumps({"records": [first, changes if "role" in changes else second | changes, *others]})


def test_an_experiment_that_is_gone_is_named_and_the_others_are_kept(toy_chapter, monkeypatch, capsys):
    _file_of(toy_chapter, "toy", "old one", "toy")
    found = []
    monkeypatch.setattr(results, "_run_experiment", lambda *a: found.extend(sorted(a[2].iterdir())) or [])
    results.regenerate("99", folder=toy_chapter, keep=True)
    assert [path.name.split("-")[0] for path in found] == ["ewc"] * 3 + ["naive"] * 3
    assert "no experiment 'old one' any more" in capsys.readouterr().out
