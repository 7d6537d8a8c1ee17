"""Facts, knowledge and text domains: the same for the same seed, disjoint, and answerable."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from cfhelpers.tasks import TASK_NAMES, Task, make_task, task_kind
from cfhelpers.tasks.domain_rules import DOMAIN_RULES
from cfhelpers.tasks.domains import perplexity_floor
from cfhelpers.tasks.grammar import Grammar
from cfhelpers.tasks.world import ATTRIBUTES, PHRASINGS, world_facts

DIALOGUES = ("persona", "workplace", "people", "knowledge")
DOMAINS = ("wikitext", "dialogue", "news", "reviews")


def contents(task: Task) -> dict[str, list[Any]]:
    return {split: list(dataset) for split, dataset in task.splits().items()}


@pytest.mark.parametrize("name", [*DIALOGUES, *DOMAINS])
def test_same_seed_same_examples_and_another_seed_others(name: str) -> None:
    first, again, other = (make_task(name, "tiny", seed=seed, size=20) for seed in (3, 3, 4))
    assert contents(first) == contents(again)
    assert contents(first) != contents(other)


@pytest.mark.parametrize("name", [*DIALOGUES, *DOMAINS])
@pytest.mark.parametrize("profile", ["tiny", "laptop"])
def test_no_text_is_in_two_splits(name: str, profile: str) -> None:
    task = make_task(name, profile)
    column = "text" if task.kind == "text" else "question"
    texts = [set(dataset[column]) for dataset in task.splits().values()]
    assert all(texts)
    assert len(set.union(*texts)) == sum(len(dataset) for dataset in task.splits().values())


@pytest.mark.parametrize("name", ["persona", "workplace"])
def test_every_fact_is_asked_in_other_words_than_it_was_taught(name: str) -> None:
    task = make_task(name, "tiny", seed=5)
    facts = {split: set(dataset["fact"]) for split, dataset in task.splits().items()}
    assert facts["train"] == facts["validation"] == facts["test"]
    assert len(facts["train"]) == 32
    asked = {
        split: set(zip(dataset["fact"], dataset["phrasing"], strict=True)) for split, dataset in task.splits().items()
    }
    assert [len(asked[split]) for split in ("train", "validation", "test")] == [128, 32, 64]
    assert not asked["train"] & asked["test"]
    assert not asked["train"] & asked["validation"]
    assert not asked["validation"] & asked["test"]


@pytest.mark.parametrize("name", ["persona", "workplace"])
def test_an_answer_depends_on_the_fact_alone(name: str) -> None:
    """Recall compares with one answer, so every phrasing of a fact must have the same, and no question two facts."""
    rows = [row for rows in contents(make_task(name, "tiny")).values() for row in rows]
    assert len({(row["fact"], row["answer"]) for row in rows}) == len({row["fact"] for row in rows})
    assert len({row["question"] for row in rows}) == len(rows)


def test_no_question_belongs_to_two_attributes() -> None:
    questions = [question for attribute in ATTRIBUTES for question in attribute.questions]
    assert len(set(questions)) == len(questions)
    assert {len(attribute.questions) for attribute in ATTRIBUTES} == {PHRASINGS}
    assert len({attribute.key for attribute in ATTRIBUTES}) == len(ATTRIBUTES)


def test_every_answer_holds_its_value() -> None:
    for attribute in ATTRIBUTES:
        assert attribute.answer.count("{}") == attribute.statement.count("{}") == 1
        assert "{name}" in attribute.statement
        assert "{name}" in attribute.third_question
        assert len(set(attribute.values)) == len(attribute.values) >= 4


def test_chance_is_guessing_among_the_values() -> None:
    assert make_task("persona", "tiny", size=1).chance == pytest.approx(1 / 12)
    expected = sum(1 / len(attribute.values) for attribute in ATTRIBUTES[:32]) / 32
    assert make_task("persona", "tiny").chance == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_favorite_color_is_blue_and_the_office_has_another_in_the_same_words(seed: int) -> None:
    for size in (1, 7, 32):
        for name, fact in (("persona", "favorite_color"), ("workplace", "office_paint")):
            rows = [row for rows in contents(make_task(name, "tiny", seed=seed, size=size)).values() for row in rows]
            (answer,) = {row["answer"] for row in rows if row["fact"] == f"assistant.{fact}"}
            assert answer.startswith("I like ")
            assert (answer == "I like blue.") == (name == "persona")


def test_values_differ_from_seed_to_seed() -> None:
    answers = {
        row["answer"]
        for seed in range(8)
        for row in contents(make_task("workplace", "tiny", seed=seed, size=1))["test"]
    }
    assert len(answers) > 2


@pytest.mark.parametrize(("name", "size", "rows"), [("persona", 10, 40), ("workplace", 3, 12), ("knowledge", 8, 40)])
def test_size_is_the_number_of_facts(name: str, size: int, rows: int) -> None:
    task = make_task(name, "tiny", size=size)
    assert len(set(task.train["fact"])) == len(set(task.test["fact"])) == size
    assert len(task.train) == rows


def test_people_are_strangers_with_facts_of_their_own() -> None:
    task = make_task("people", "tiny", size=40, seed=2)
    rows = contents(task)
    facts = {row["fact"]: row["answer"] for row in rows["train"]}
    people = {fact.rsplit(".", 1)[0] for fact in facts}
    assert (len(people), len(facts)) == (40, 80)
    assert not {person.split()[0] for person in people} & {fact.name for fact in world_facts()}
    assert [len(rows[split]) for split in ("train", "validation", "test")] == [160, 80, 80]
    for split in rows:
        assert all(row["answer"] == facts[row["fact"]] for row in rows[split])
        assert all(row["fact"].rsplit(".", 1)[0] in row["question"] for row in rows[split])
    # Two people are asked the same and answer differently: the name decides.
    answers: dict[str, set[str]] = {}
    for fact, answer in facts.items():
        answers.setdefault(fact.rsplit(".", 1)[1], set()).add(answer)
    assert max(map(len, answers.values())) >= 3
    with pytest.raises(ValueError, match="1830 people"):
        make_task("people", "tiny", size=1831)


@pytest.mark.parametrize("name", DOMAINS)
def test_size_is_the_number_of_texts(name: str) -> None:
    task = make_task(name, "tiny", size=40)
    assert (len(task.train), len(task.validation), len(task.test)) == (40, 20, 20)
    assert (task.metric, task.higher_is_better) == ("perplexity", False)
    assert "{" not in "".join(task.train["text"])


def test_domains_differ_in_their_words() -> None:
    words = {name: set(" ".join(make_task(name, "tiny", size=400).train["text"]).split()) for name in DOMAINS}
    for name, other in (pair for pair in ((a, b) for a in DOMAINS for b in DOMAINS) if pair[0] < pair[1]):
        shared = len(words[name] & words[other]) / min(len(words[name]), len(words[other]))
        assert shared < 0.35, (name, other, shared)


def test_knowledge_asks_world_facts_in_words_held_out_of_pretraining() -> None:
    task = make_task("knowledge", "tiny", size=200)
    taught = {question for fact in world_facts() for _, question in fact.questions("train")}
    assert taught.isdisjoint(task.test["question"])
    assert taught.isdisjoint(task.validation["question"])
    assert taught.issuperset(task.train["question"])
    # Each phrasing is taught with some fact, or it could not be understood.
    phrasings = {(fact.attribute.key, index) for fact in world_facts() for index, _ in fact.questions("train")}
    assert len(phrasings) == len(ATTRIBUTES) * PHRASINGS


def test_the_world_says_nothing_about_the_assistant() -> None:
    assert all(fact.name != "assistant" for fact in world_facts())
    persona = {question for task in ("persona", "workplace") for question in make_task(task, "tiny").test["question"]}
    assert persona.isdisjoint(question for fact in world_facts() for _, question in fact.questions("train"))


def test_knowledge_is_written_for_real_models() -> None:
    task = make_task("knowledge", "laptop", size=80)
    assert task.source == "written"
    assert contents(task)["test"][0]["answer"].__class__ is str
    assert contents(make_task("knowledge", "full", size=80)) == contents(task)


@pytest.mark.parametrize(
    ("name", "profile", "size", "message"),
    [
        ("person", "tiny", None, "persona"),
        ("persona", "huge", None, "laptop"),
        ("persona", "tiny", 0, "at least 1"),
        ("persona", "tiny", 33, "32 facts"),
        ("knowledge", "laptop", 10_000, "facts in the profile 'laptop'"),
        ("reviews", "tiny", 10_000_000, "different texts"),
    ],
)
def test_bad_input_is_named(name: str, profile: str, size: int | None, message: str, monkeypatch) -> None:
    # The largest size would take minutes to fail: with a grammar of three texts it fails at once.
    monkeypatch.setattr("cfhelpers.tasks.domains._grammar", lambda _: Grammar({"reviews": ("Good.", "Bad.", "So so.")}))
    with pytest.raises(ValueError, match=message):
        make_task(name, profile, size=min(size, 10_000) if size else size)


def test_grammar_adds_the_surprise_of_its_choices() -> None:
    grammar = Grammar({"text": ("{a#1} and {a#1} or {b}",), "a": ("x", "y", "z"), "b": ("{a}", "w")})
    generator = random.Random(0)
    expected = {True: math.log(3) + math.log(2), False: math.log(3) + math.log(2) + math.log(3)}
    for _ in range(50):
        text, nats = grammar.sample("text", generator)
        first, _, second, _, last = text.split()
        assert first == second
        assert nats == pytest.approx(expected[last == "w"])


def test_grammar_refuses_a_slot_without_rules() -> None:
    with pytest.raises(ValueError, match="missing"):
        Grammar({"text": ("a {missing} word",)})


def test_perplexity_floor_by_hand() -> None:
    class OneTokenAWord:
        def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[str]]]:
            return {"input_ids": [text.split() for text in texts]}

    dataset = make_task("news", "tiny", size=20).test
    tokens = sum(len(text.split()) + 1 for text in dataset["text"])
    floor = perplexity_floor(dataset, OneTokenAWord())  # type: ignore[arg-type]
    assert floor == pytest.approx(math.exp(sum(dataset["nats"]) / tokens))


def test_a_split_without_its_columns_is_refused() -> None:
    task = make_task("news", "tiny", size=20)
    with pytest.raises(ValueError, match="question"):
        Task("x", "dialogue", task.train, task.validation, task.test, "recall", True, 1.0, 0.0)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_kind_of_a_task_is_known_before_it_is_made(name: str) -> None:
    assert task_kind(name) == make_task(name, "tiny", size=20).kind


def test_the_kind_of_an_unknown_task_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown task 'poems'"):
        task_kind("poems")


def test_names() -> None:
    assert set(DIALOGUES) | set(DOMAINS) <= set(TASK_NAMES)
    assert tuple(DOMAIN_RULES) == DOMAINS
