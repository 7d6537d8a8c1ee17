"""From readable tasks to token ids: one sequence per example, padding never a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from cfhelpers.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label that Hugging Face losses leave out."""

Split = Literal["train", "validation", "test"]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Collator:
    """Pads encoded examples to the longest of their batch.

    Args:
        pad_token_id: Written into ``input_ids`` beyond an example's end; the attention mask is 0 and the label −100
            there, so which id it is changes nothing.
    """

    pad_token_id: int

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        """Return ``input_ids``, ``attention_mask`` [B, T], ``labels`` [B, T] or [B], and ``task_ids`` [B] if there."""
        length = max(len(example["input_ids"]) for example in examples)

        def padded(rows: list[list[int]], filler: int) -> Tensor:
            return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])

        ids = [list(example["input_ids"]) for example in examples]
        labels = [example["labels"] for example in examples]
        per_token = not isinstance(labels[0], int)
        batch = {
            "input_ids": padded(ids, self.pad_token_id),
            "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "labels": padded([list(row) for row in labels], IGNORED) if per_token else torch.tensor(labels),
        }
        if "task_ids" in examples[0]:
            batch["task_ids"] = torch.tensor([example["task_ids"] for example in examples])
        return batch


@dataclass(frozen=True)
class Batches:
    """Batches of an encoded data set, in order; can be iterated as often as needed."""

    dataset: Dataset
    collate: Collator
    batch_size: int

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield one padded batch after the other."""
        for start in range(0, len(self.dataset), self.batch_size):
            columns = self.dataset[start : start + self.batch_size]
            rows = range(len(columns["input_ids"]))
            yield self.collate([{name: column[row] for name, column in columns.items()} for row in rows])


@dataclass(frozen=True)
class EncodedTask:
    """A task as one model sees it.

    ``train``, ``validation`` and ``test`` hold ``input_ids`` and ``labels``, and for classification ``task_ids``: the
    position of this task in the sequence, which chooses its head.
    """

    task: Task
    train: Dataset
    validation: Dataset
    test: Dataset
    collate: Collator
    task_id: int

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    def batches(self, split: Split, batch_size: int = 32) -> Batches:
        """Return a re-iterable of padded batches of one split, in a fixed order."""
        return Batches(getattr(self, split), self.collate, batch_size)


def encode_task(
    task: Task, tokenizer: PreTrainedTokenizerBase, *, task_id: int = 0, max_length: int = 128
) -> EncodedTask:
    """Turn a task's three splits into token ids and labels.

    A dialogue becomes one sequence, the question and then the answer, through the tokenizer's chat template; only the
    answer is a target. Text is joined with end-of-sequence tokens and cut into blocks of ``max_length`` tokens, the
    context of every perplexity reported. Labels stay aligned with the input: the model shifts them.

    Args:
        task: What to encode.
        tokenizer: The model's own tokenizer, with a padding token and, for dialogue, a chat template.
        task_id: Position of the task in the sequence; chooses the head of a multi-task classifier.
        max_length: Longest sequence in tokens; dialogues that do not fit are refused, classified texts are cut.

    Raises:
        ValueError: The tokenizer has no padding token, or a dialogue is longer than ``max_length``.
    """
    pad_token_id: Any = tokenizer.pad_token_id
    if pad_token_id is None:
        raise ValueError("The tokenizer has no padding token: set tokenizer.pad_token before encoding a task.")

    def encode(split: Dataset) -> Dataset:
        encoder = {"dialogue": _encode_dialogue, "text": _encode_text, "classification": _encode_classification}
        columns = encoder[task.kind](split, tokenizer, max_length)
        from datasets import Dataset

        if task.kind == "classification":
            columns["task_ids"] = [task_id] * len(columns["input_ids"])
        return Dataset.from_dict(columns)

    collate = Collator(int(pad_token_id))
    return EncodedTask(task, encode(task.train), encode(task.validation), encode(task.test), collate, task_id)


def first_asked(task: EncodedTask, count: int | None) -> EncodedTask:
    """Return a task that is scored on the first ``count`` of its validation and test examples; None scores all."""
    if count is None:
        return task
    splits = {split: getattr(task, split) for split in ("validation", "test")}
    return replace(task, **{split: rows.select(range(min(count, len(rows)))) for split, rows in splits.items()})


def encode_dialogue(tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> tuple[list[int], list[int]]:
    """Return token ids and labels of one question with its answer; the question's labels are −100.

    What is trained is what is generated: the prompt as the template writes it for generation, then the answer and its
    end. A template of a thinking model may put an empty think block into one of the two and not into the other.

    Raises:
        ValueError: The template's generation prompt leaves a think block open, or a finished turn does not end with the
            answer and its end.
    """
    prompt = encode_question(tokenizer, question)
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole: Any = list(tokenizer.apply_chat_template(turns, return_dict=False))
    same = next((i for i, pair in enumerate(zip(prompt, whole, strict=False)) if pair[0] != pair[1]), len(prompt))
    same = min(same, len(whole))
    completion = whole[same:]
    if same < len(prompt):
        _require_closed(tokenizer, prompt[same:], completion, question, answer)
    return [*prompt, *completion], [IGNORED] * len(prompt) + completion


def _require_closed(
    tokenizer: PreTrainedTokenizerBase, extra: list[int], completion: list[int], question: str, answer: str
) -> None:
    """Refuse a generation prompt after which the answer of a finished turn cannot follow."""
    opened = str(tokenizer.decode(extra))
    way_out = (
        "Set tokenizer.chat_template to one without it (many templates take enable_thinking=False for that), so that "
        "what is trained is what is generated."
    )
    if opened.count("<think>") > opened.count("</think>"):
        raise ValueError(
            f"the chat template's generation prompt opens a think block ({opened.strip()!r}), in which the model would "
            f"answer, and a finished turn has none. {way_out}"
        )
    asked_later = question.strip() in opened  # the finished turn does not begin with the question
    if asked_later or not str(tokenizer.decode(completion)).lstrip().startswith(answer.strip()):
        raise ValueError(
            f"the chat template writes {opened!r} into a generation prompt and not into a finished turn, which goes on "
            f"with {str(tokenizer.decode(completion))!r} instead of the answer. {way_out}"
        )


def encode_question(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """Return the token ids after which the model has to answer."""
    turns = [{"role": "user", "content": question}]
    ids: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return list(ids)


def _encode_dialogue(split: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
    pairs = [
        encode_dialogue(tokenizer, question, answer)
        for question, answer in zip(split["question"], split["answer"], strict=True)
    ]
    longest = max((len(ids) for ids, _ in pairs), default=0)
    if longest > max_length:
        raise ValueError(f"A dialogue has {longest} tokens, more than max_length={max_length}.")
    return {"input_ids": [ids for ids, _ in pairs], "labels": [labels for _, labels in pairs]}


def _encode_text(split: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
    eos = tokenizer.eos_token_id
    # Texts longer than the model's context are joined and cut below, so the tokenizer's length warning does not apply.
    rows = tokenizer(list(split["text"]), add_special_tokens=False, verbose=False)["input_ids"]
    stream = [token for row in rows for token in [*row, eos]]
    blocks = [stream[start : start + max_length] for start in range(0, len(stream), max_length)]
    blocks = [block for block in blocks if len(block) > 1]
    return {"input_ids": blocks, "labels": [list(block) for block in blocks]}


def _encode_classification(split: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
    texts = [list(split[name]) for name in ("text", "text_pair") if name in split.column_names]
    first, *second = texts
    pair = second[0] if second else None
    ids = tokenizer(first, pair, truncation=True, max_length=max_length)["input_ids"]
    return {"input_ids": ids, "labels": list(split["label"])}
