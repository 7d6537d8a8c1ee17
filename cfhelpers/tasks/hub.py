"""The same tasks from public data sets, for the full profile.

Every task ends in three disjoint splits. ``test`` is what is reported and nothing else; where the hub hides the labels
of its own test split (sst2, mnli), the labelled validation split is the test split here. ``validation`` is always cut
from the training data.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cfhelpers.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset

DATA_VARIABLE = "CF_DATA"
"""Names a folder ``<organisation>/<name>/<configuration>/<split>.parquet`` to use in place of the hub."""

Row = dict[str, Any]

# Shorter phrases ("funny", "the film") occur everywhere and give nothing away.
SHORTEST_TELLING_PHRASE = 4


@dataclass(frozen=True)
class HubSource:
    """Where a task comes from and how its rows are read.

    Attributes:
        repository: Identifier on the hub.
        configuration: Name of the configuration.
        test: Name of the split that plays the test split.
        read: Turns one row of the hub into one example, or none.
        label_names: Names of the classes in the order of their labels; empty for text.
        size: Default number of training examples.
        held_out: Number of validation and of test examples, at most.
        phrases: Whether training examples are phrases cut out of longer sentences.
    """

    repository: str
    configuration: str
    test: str
    read: Callable[[Mapping[str, Any]], Iterable[Row]]
    label_names: tuple[str, ...] = ()
    size: int = 4000
    held_out: int = 1000
    phrases: bool = False

    @property
    def name(self) -> str:
        """Repository and configuration, for records."""
        return f"{self.repository} ({self.configuration})"


def _labelled(*columns: str) -> Callable[[Mapping[str, Any]], Iterable[Row]]:
    """Read the given columns as text and text_pair; rows without a label (-1) are left out."""

    def read(row: Mapping[str, Any]) -> Iterable[Row]:
        texts = [_clean(row[column]) for column in columns]
        if row["label"] >= 0 and all(texts):
            yield {**dict(zip(("text", "text_pair"), texts, strict=False)), "label": row["label"]}

    return read


def _plain(row: Mapping[str, Any]) -> Iterable[Row]:
    """Read one text; empty lines and wikitext's headings ( = Title = ) are left out."""
    text = _clean(row["text"])
    if text and not (text.startswith("= ") and text.endswith(" =")):
        yield {"text": text}


def _dialogue(row: Mapping[str, Any]) -> Iterable[Row]:
    """Read a whole conversation as one text, a turn per line."""
    turns = [_clean(turn) for turn in row["dialog"]]
    if any(turns):
        yield {"text": "\n".join(turn for turn in turns if turn)}


def _clean(text: str) -> str:
    """Collapse white space and the line breaks that reviews write as HTML or as a backslash and an n."""
    return " ".join(text.replace("<br />", " ").replace("\\n", " ").split())


_SENTIMENT = ("negative", "positive")
_INFERENCE = ("entailment", "neutral", "contradiction")
_TOPICS = ("World", "Sports", "Business", "Sci/Tech")

SOURCES: dict[str, HubSource] = {
    "sst2": HubSource("stanfordnlp/sst2", "default", "validation", _labelled("sentence"), _SENTIMENT, phrases=True),
    "mnli": HubSource("nyu-mll/glue", "mnli", "validation_matched", _labelled("premise", "hypothesis"), _INFERENCE),
    "imdb": HubSource("stanfordnlp/imdb", "plain_text", "test", _labelled("text"), _SENTIMENT),
    "yelp": HubSource("fancyzhx/yelp_polarity", "plain_text", "test", _labelled("text"), _SENTIMENT),
    "topics": HubSource("fancyzhx/ag_news", "default", "test", _labelled("text"), _TOPICS),
    "wikitext": HubSource("Salesforce/wikitext", "wikitext-103-raw-v1", "test", _plain, size=2000, held_out=300),
    "dialogue": HubSource("OpenRL/daily_dialog", "default", "test", _dialogue, size=2000, held_out=300),
    "news": HubSource("fancyzhx/ag_news", "default", "test", _plain, size=2000, held_out=300),
    "reviews": HubSource("stanfordnlp/imdb", "plain_text", "test", _plain, size=1000, held_out=200),
}


def load_hub_task(name: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Load a task from the hub, or from the folder that ``CF_DATA`` names.

    Empty texts and texts that occur in more than one split are dropped: validation gives way to test, and training to
    both. Most training rows of sst2 are phrases cut out of whole sentences, often several out of one: there a row is
    also dropped if it shares a phrase with another split, that is, if one of the two texts contains the other and the
    contained one has four words or more. Chance is the share of the largest class in the test split.

    Args:
        name: One of the keys of :data:`SOURCES`.
        seed: Chooses which rows are used and, where there is none, the validation split.
        size: Number of training examples; None: the source's default, or fewer if it has fewer.

    Raises:
        ValueError: No such task here, or ``size`` is larger than what the source can give.
        FileNotFoundError: ``CF_DATA`` is set and the file is not there.
        OSError: The hub cannot be reached.
    """
    if name not in SOURCES:
        raise ValueError(f"task {name!r} is not on the hub; choose one of: {', '.join(SOURCES)}")
    source = SOURCES[name]
    generator = random.Random(f"{name}/{seed}")
    test_rows, train_rows = (_load_split(source, split) for split in (source.test, "train"))
    wanted = source.size if size is None else size
    test = _take(_shuffled(test_rows, generator), source, source.held_out, _Refused(source.phrases))
    rows = _shuffled(train_rows, generator)
    # At most a fifth of a small training split goes to validation.
    held_out = max(1, min(source.held_out, max(100, wanted // 4), len(train_rows) // 5))
    validation = _take(rows, source, held_out, _Refused(source.phrases, test))
    train = _take(rows, source, wanted, _Refused(source.phrases, test, validation))
    if not (train and validation and test) or (size is not None and len(train) < size):
        raise ValueError(f"{source.name} can give {len(train)} training examples for the task {name!r}, not {wanted}.")
    return _task(name, source, train, validation, test)


def _task(name: str, source: HubSource, train: list[Row], validation: list[Row], test: list[Row]) -> Task:
    from datasets import Dataset

    classes = source.label_names
    counts = [sum(row["label"] == label for row in test) for label in range(len(classes))]
    return Task(
        name=name,
        kind="classification" if classes else "text",
        train=Dataset.from_list(train),
        validation=Dataset.from_list(validation),
        test=Dataset.from_list(test),
        metric="accuracy" if classes else "perplexity",
        higher_is_better=bool(classes),
        ceiling=float("nan"),
        chance=max(counts) / len(test) if classes else float("nan"),
        label_names=classes,
        source=source.name,
    )


class _Refused:
    """Recognises texts that must not be used (again): those of other splits, and those taken already.

    Args:
        phrases: Also recognise texts that contain a text of another split or are contained in one.
        *others: The examples of the other splits.
    """

    def __init__(self, phrases: bool, *others: list[Row]) -> None:
        self.taken = {_key(example) for examples in others for example in examples}
        self.whole = [_spaced(example) for examples in others for example in examples] if phrases else []
        self.joined = "|".join(self.whole)
        self.telling = [text for text in self.whole if _is_telling(text)]

    def __call__(self, example: Row) -> bool:
        """Return whether to leave the example out; if not, remember it as taken."""
        key = _key(example)
        if key in self.taken:
            return True
        if self.whole:
            text = _spaced(example)
            if (_is_telling(text) and text in self.joined) or any(phrase in text for phrase in self.telling):
                return True
        self.taken.add(key)
        return False


def _key(example: Row) -> tuple[str, ...]:
    """What makes two examples the same: their texts, whatever the case."""
    return tuple(example[column].lower() for column in ("text", "text_pair") if column in example)


def _spaced(example: Row) -> str:
    """The text with a space before and after every word, so that only whole words are found in it."""
    return f" {example['text'].lower()} "


def _is_telling(text: str) -> bool:
    return len(text.split()) >= SHORTEST_TELLING_PHRASE


def _take(rows: Iterable[Mapping[str, Any]], source: HubSource, count: int, refused: _Refused) -> list[Row]:
    """Take examples from the rows until there are ``count`` or no rows are left."""
    taken: list[Row] = []
    for row in rows:
        taken += [example for example in source.read(row) if not refused(example)]
        if len(taken) >= count:
            break
    return taken


def _shuffled(rows: Dataset, generator: random.Random) -> Iterator[Mapping[str, Any]]:
    """Yield the rows in an order fixed by the generator; one iterator, so that no row is used twice."""
    order = list(range(len(rows)))
    generator.shuffle(order)
    return (cast("Mapping[str, Any]", rows[index]) for index in order)


def _load_split(source: HubSource, split: str) -> Dataset:
    """Read one split from ``CF_DATA`` if it is set, otherwise from the hub."""
    from datasets import Dataset, load_dataset

    folder = os.environ.get(DATA_VARIABLE)
    if folder:
        path = Path(folder) / source.repository / source.configuration / f"{split}.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{DATA_VARIABLE}={folder} has no {path.relative_to(folder)}")
        import pyarrow.parquet

        # Read into memory: datasets' own reader would write a copy into a cache folder.
        return Dataset(pyarrow.parquet.read_table(path))
    from cfhelpers.environment import require_hub

    require_hub()
    return cast("Dataset", load_dataset(source.repository, source.configuration, split=split))
