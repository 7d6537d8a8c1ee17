"""The generated classification tasks: balanced, disjoint, and not to be solved by a shortcut."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from cfhelpers.tasks import Task, make_task
from cfhelpers.tasks.classification import classification_task, with_article
from cfhelpers.tasks.inference import FAMILIES, TASK_FAMILIES
from cfhelpers.tasks.sentiment import SENTENCES, opinion_grammars

NAMES = ("sst2", "mnli", "imdb", "yelp", "topics")
CLASSES = {"sst2": 2, "mnli": 3, "imdb": 2, "yelp": 2, "topics": 4}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {name: make_task(name, "tiny") for name in NAMES}


def texts_of(task: Task, split: str) -> list[tuple[str, ...]]:
    columns = [name for name in ("text", "text_pair") if name in task.train.column_names]
    return list(zip(*(task.splits()[split][name] for name in columns), strict=True))


def shortcut_accuracy(task: Task, column: str, words: tuple[int, int] = (1, 1)) -> float:
    """Test accuracy of a logistic regression on which words (or word pairs) occur in one column."""
    model = make_pipeline(CountVectorizer(binary=True, ngram_range=words), LogisticRegression(max_iter=1000))
    model.fit(list(task.train[column]), list(task.train["label"]))
    return float(model.score(list(task.test[column]), list(task.test["label"])))


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_balanced_and_chance_says_so(tasks: dict[str, Task], name: str) -> None:
    task = tasks[name]
    assert len(task.label_names) == CLASSES[name]
    assert task.chance == 1 / CLASSES[name]
    assert task.ceiling == 1.0
    for split in task.splits().values():
        counts = Counter(split["label"])
        assert sorted(counts) == list(range(CLASSES[name]))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_no_text_occurs_twice(tasks: dict[str, Task], name: str) -> None:
    texts = [text for split in ("train", "validation", "test") for text in texts_of(tasks[name], split)]
    assert len(texts) == len(set(texts)) == 1200 + 200 + 400


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_short(tasks: dict[str, Task], name: str) -> None:
    assert max(len(re.findall(r"\w+|[^\w\s]", " ".join(texts))) for texts in texts_of(tasks[name], "train")) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_writes_the_same_texts_and_the_size_changes_training_only(name: str) -> None:
    first, again, larger, other = (
        make_task(name, "tiny", seed=seed, size=size) for seed, size in ((1, 20), (1, 20), (1, 30), (2, 20))
    )
    assert texts_of(first, "train") == texts_of(again, "train") != texts_of(other, "train")
    assert len(larger.train) == 30
    assert texts_of(first, "test") == texts_of(larger, "test") != texts_of(other, "test")


def test_laptop_has_the_same_tasks(tasks: dict[str, Task]) -> None:
    assert texts_of(make_task("mnli", "laptop"), "test") == texts_of(tasks["mnli"], "test")


def test_more_texts_than_the_grammar_has_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'few' has too few different texts for this size"):
        classification_task(
            "few", lambda label, generator: (f"{label} {generator.randrange(400)}",), ("no", "yes"), seed=0, size=300
        )


def test_no_hypothesis_tells_its_label() -> None:
    scores = [shortcut_accuracy(make_task("mnli", "tiny", seed=seed), "text_pair", (1, 2)) for seed in range(3)]
    assert sum(scores) / 3 < 1 / 3 + 0.05  # 1200 test examples: three standard errors are 0.04


def test_a_premise_alone_tells_less_than_two_thirds_of_the_labels(tasks: dict[str, Task]) -> None:
    """Its form tells something (a plain premise is mostly neutral), as in real inference data."""
    assert shortcut_accuracy(tasks["mnli"], "text") < 2 / 3


def test_counting_words_does_not_solve_the_sentiment_task(tasks: dict[str, Task]) -> None:
    assert shortcut_accuracy(tasks["sst2"], "text") < 0.65


def test_exchanging_the_word_lists_exchanges_the_labels() -> None:
    negative, positive = opinion_grammars(
        ({"good": ("fine",), "does": ("shines",)}, {"good": ("dull",), "does": ("drags",)}),
        {"sentence": ("the plot is {good}, the rest {undoes}", "it is not {bad}")},
    )
    assert {positive.sample("sentence", random.Random(seed))[0] for seed in range(9)} == {
        "the plot is fine, the rest drags",
        "it is not dull",
    }
    assert {negative.sample("sentence", random.Random(seed))[0] for seed in range(9)} == {
        "the plot is dull, the rest shines",
        "it is not fine",
    }


def test_negation_and_contrast_decide() -> None:
    """What every third reader would say of the generated sentences, by three patterns."""
    patterns = (
        r"is (?:not|never|hardly|not at all|far from) (\w+)$",
        r", but the \w+ is (?:very |truly |really |simply )?(\w+)$",
    )
    good = set(SENTENCES[1].rules["good"])
    seen = Counter()
    for seed in range(400):
        label = seed % 2
        text = SENTENCES[label].sample("sentence", random.Random(seed))[0]
        for index, pattern in enumerate(patterns):
            found = re.search(pattern, text)
            if found and found[1] not in ("not", "never", "hardly", "far"):
                negated = index == 0
                assert ((found[1] in good) != negated) == (label == 1), text
                seen[index] += 1
    assert min(seen[0], seen[1]) > 10


def test_the_two_review_domains_share_hardly_any_word(tasks: dict[str, Task]) -> None:
    words = {
        name: {word for text in tasks[name].train["text"] for word in re.findall(r"[a-z]+", text)}
        for name in ("imdb", "yelp")
    }
    shared = words["imdb"] & words["yelp"]
    assert len(shared) < 0.2 * len(words["yelp"])
    assert not shared & {*SENTENCES[0].rules["good"], *SENTENCES[1].rules["good"]}


@pytest.mark.parametrize("family", sorted({*FAMILIES, *TASK_FAMILIES}, key=lambda family: family.__name__))
def test_premises_of_one_hypothesis_never_serve_two_labels(family) -> None:
    for seed in range(200):
        hypothesis, premises = family(random.Random(seed))
        assert len({premise for one in premises for premise in one}) == sum(len(set(one)) for one in premises)
        assert all(one and hypothesis not in one for one in premises)


def test_articles() -> None:
    assert with_article("a apple and a dog, a elegant film; a") == "an apple and a dog, an elegant film; a"
