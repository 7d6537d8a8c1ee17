"""Tasks from public data sets: honest splits, on rows made here and on the real ones where a folder has them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from cfhelpers.tasks import Task, hub, make_task
from cfhelpers.tasks.hub import SOURCES, load_hub_task

DATA = os.environ.get(hub.DATA_VARIABLE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(hub.DATA_VARIABLE, str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, split: str, rows: Sequence[dict[str, Any]]) -> None:
    source = SOURCES[name]
    path = folder / source.repository / source.configuration / f"{split}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def all_texts(task: Task) -> list[tuple[str, ...]]:
    columns = [name for name in ("text", "text_pair") if name in task.train.column_names]
    return [texts for split in task.splits().values() for texts in zip(*(split[name] for name in columns), strict=True)]


def test_test_examples_come_from_the_test_split_and_validation_from_training(folder: Path) -> None:
    write(folder, "imdb", "train", [{"text": f"train {index}", "label": index % 2} for index in range(100)])
    write(folder, "imdb", "test", [{"text": f"test {index}", "label": 1} for index in range(20)])
    task = load_hub_task("imdb", size=60)
    assert [len(split) for split in task.splits().values()] == [60, 20, 20]
    assert all(text.startswith("test") for text in task.test["text"])
    assert all(text.startswith("train") for text in [*task.train["text"], *task.validation["text"]])
    assert all(int(row["text"].split()[1]) % 2 == row["label"] for row in task.train.to_list())
    assert task.source == "stanfordnlp/imdb (plain_text)"
    assert task.chance == 1.0  # every test label is the same
    assert math.isnan(task.ceiling)


def test_hidden_labels_empty_texts_and_repeated_texts_are_dropped(folder: Path) -> None:
    train = [{"premise": f"it is {index}", "hypothesis": "so", "label": 0, "idx": index} for index in range(30)]
    train += [{"premise": "It is Seen", "hypothesis": "so", "label": 0, "idx": 1}, {**train[0]}]
    train += [{"premise": "no label", "hypothesis": "so", "label": -1, "idx": 1}]
    train += [{"premise": " ", "hypothesis": "so", "label": 1, "idx": 1}]
    write(folder, "mnli", "train", train)
    write(folder, "mnli", "validation_matched", [{"premise": "it is  seen", "hypothesis": "so", "label": 2, "idx": 0}])
    task = load_hub_task("mnli")
    texts = all_texts(task)
    assert sorted(texts) == sorted([*((f"it is {index}", "so") for index in range(30)), ("it is seen", "so")])
    assert task.test.to_list() == [{"text": "it is seen", "text_pair": "so", "label": 2}]


def test_training_phrases_cut_out_of_tested_sentences_are_dropped(folder: Path) -> None:
    phrases = ["a gripping and funny", "gripping and funny film", "funny film", "unfunny film about cats here", "far"]
    others = [f"something else entirely number {index}" for index in range(10)]
    write(folder, "sst2", "train", [{"sentence": text, "label": 1, "idx": 0} for text in [*phrases, *others]])
    write(folder, "sst2", "validation", [{"sentence": "a gripping and funny film", "label": 1, "idx": 0}])
    task = load_hub_task("sst2")
    kept = {*task.train["text"], *task.validation["text"]}
    # Three words give too little away, and "funny film" is no part of "unfunny film" as words go.
    assert kept == {"funny film", "unfunny film about cats here", "far", *others}


def test_a_sentence_and_a_phrase_of_it_are_never_on_both_sides_of_the_validation_split(folder: Path) -> None:
    pair = {"a rather long sentence about nothing", "long sentence about nothing"}
    rows = [{"sentence": text, "label": 0, "idx": 0} for text in (*sorted(pair), "some other text of note")]
    write(folder, "sst2", "train", rows)
    write(folder, "sst2", "validation", [{"sentence": "tested", "label": 0, "idx": 0}])
    validated = set()
    for seed in range(12):
        task = load_hub_task("sst2", seed=seed)
        assert not (pair & {*task.train["text"]} and pair & {*task.validation["text"]})
        validated |= {*task.validation["text"]}
    assert pair <= validated  # each was once the validation text, so both directions were tried


def test_text_is_cleaned_and_headings_go(folder: Path) -> None:
    lines = ["", " = A heading = \n", " = = A smaller one = = \n", *(f" Paragraph {index} . \n" for index in range(9))]
    for split in ("train", "test"):
        write(folder, "wikitext", split, [{"text": split + line if line.startswith(" P") else line} for line in lines])
    task = load_hub_task("wikitext")
    assert sorted(task.test["text"]) == [f"test Paragraph {index} ." for index in range(9)]
    assert task.metric == "perplexity"
    assert not task.higher_is_better
    write(folder, "yelp", "train", [{"text": f"so{index}<br /><br />good\\nreally", "label": 1} for index in range(9)])
    write(folder, "yelp", "test", [{"text": "x", "label": 1}])
    assert set(load_hub_task("yelp").train["text"]) < {f"so{index} good really" for index in range(9)}


def test_a_conversation_is_one_text(folder: Path) -> None:
    for split in ("train", "test"):
        write(folder, "dialogue", split, [{"dialog": [f"Hello {split} {n} .", " ", "Goodbye ."]} for n in range(9)])
    assert "Hello test 3 .\nGoodbye ." in load_hub_task("dialogue").test["text"]


def test_the_seed_chooses_the_rows(folder: Path) -> None:
    write(folder, "imdb", "train", [{"text": f"train {index}", "label": index % 2} for index in range(100)])
    write(folder, "imdb", "test", [{"text": f"test {index}", "label": 1} for index in range(20)])
    first, again, other = (load_hub_task("imdb", seed=seed, size=20) for seed in (0, 0, 1))
    assert all_texts(first) == all_texts(again) != all_texts(other)


def test_clear_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'persona' is not on the hub; choose one of: sst2"):
        load_hub_task("persona")
    with pytest.raises(FileNotFoundError, match=r"CF_DATA=.* has no stanfordnlp/imdb/plain_text/test.parquet"):
        make_task("imdb", "full")
    write(folder, "imdb", "train", [{"text": f"train {index}", "label": 0} for index in range(10)])
    write(folder, "imdb", "test", [{"text": "test", "label": 0}])
    with pytest.raises(ValueError, match="can give 8 training examples for the task 'imdb', not 50"):
        load_hub_task("imdb", size=50)
    monkeypatch.delenv(hub.DATA_VARIABLE)

    def no_hub() -> None:
        raise OSError("the hub does not answer")

    monkeypatch.setattr("cfhelpers.environment.require_hub", no_hub)
    with pytest.raises(OSError, match="does not answer"):
        load_hub_task("imdb")


@pytest.mark.skipif(not DATA, reason="CF_DATA does not name a folder with real rows")
@pytest.mark.parametrize(
    "name", [name for name in SOURCES if DATA and (Path(DATA) / SOURCES[name].repository).is_dir()]
)
def test_real_rows(name: str) -> None:
    task = load_hub_task(name, seed=1, size=300)
    texts = all_texts(task)
    assert len(task.train) == 300
    assert len(texts) == len(set(texts))
    assert all(text.strip() for row in texts for text in row)
    if task.kind == "classification":
        assert {*task.train["label"]} == {*task.test["label"]} == set(range(len(task.label_names)))
        assert 1 / len(task.label_names) <= task.chance < 0.6
