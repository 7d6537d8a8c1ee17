"""Exercise 3.1: a batch of dialogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cfhelpers.course.checks.ewc.layouts import (
    changed,
    cut_to_the_shortest,
    ended_after_padding,
    filled,
    flipped,
    laid_out,
    of_one_length,
    one_more,
    padded_apart,
    padded_between,
    right_aligned,
    shifted,
    widened,
)
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

_END = 50
# Questions and answers of unequal lengths, so that no two mistakes give the same labels.
_PAIRS = [([11, 12, 13], [21, 22]), ([14, 15, 16, 17], [23, 24, 25]), ([18], [26])]
_OTHER_PAIRS = [([31], [41, 42, 43, 44, 45]), ([32, 33, 34, 35], [46]), ([36, 37], [47, 48]), ([38, 39], [49])]
_CASES = {
    "padding is the end-of-sequence token": (_PAIRS, _END),
    "padding is a token of its own": (_PAIRS, 0),
    "four other pairs": (_OTHER_PAIRS, 7),
}


def _examine_batch(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (given, padding) in _CASES.items():
        pairs = [(list(question), list(reply)) for question, reply in given]
        batch = answer(pairs, _END, padding)
        if pairs != given:
            raise CheckFailed(
                "your code changed the lists it was given: question += answer and answer.append(end_id) do. Write "
                "question + answer + [end_id]."
            )
        if isinstance(batch, Mapping):
            for name in ("input_ids", "attention_mask", "labels"):
                if isinstance(batch.get(name), Tensor) and batch[name].is_floating_point():
                    raise CheckFailed(
                        f"{name} holds floating-point numbers; token ids, labels and the mask are whole numbers "
                        "(torch.long)."
                    )
            if isinstance(batch.get("labels"), Tensor) and batch["labels"].dtype != torch.long:
                raise CheckFailed(f"labels are {batch['labels'].dtype}; the loss takes class numbers as torch.long.")
        arrays = tensors(batch, "the batch")
        numbers |= {f"{case}: {name}": array for name, array in arrays.items()}
    return numbers


_EVERYTHING_IS_TARGET = "the question's tokens are targets too: the model learns to ask. Their labels are −100."
_PADDING_IS_TARGET = "padding is a target: its label is the padding token. Its label is −100."

dialogue_batch = Exercise(
    number="3.1",
    reread="One sequence, and a loss on the answer",
    verified="question and answer are one sequence, only the answer and its end are targets, padding is neither",
    reference=filled,
    library=filled,
    examine=_examine_batch,
    mistakes=[
        Mistake(
            "question and answer are two sequences of one length, so that the answer's words are set against the "
            "question's positions. Write them one after the other in one sequence.",
            laid_out(lambda question, reply: (question, reply)),
        ),
        Mistake(
            "question and answer are two sequences of one length. Write them one after the other in one sequence.",
            laid_out(lambda question, reply: (question, reply[:-1])),
        ),
        *(
            Mistake(
                "question and answer are two sequences of one length, and the attention mask is 1 on their padding. "
                "Write them one after the other in one sequence.",
                partial(of_one_length, ended=ended, ignored=ignored),
            )
            for ended in (True, False)
            for ignored in (True, False)
        ),
        *(
            Mistake(
                "the ids are the questions and the labels are the answers, each padded by itself. Write question and "
                "answer one after the other in one sequence.",
                lambda pairs, end_id, pad_id, ended=ended: padded_apart(pairs, end_id, pad_id, ended=ended),
            )
            for ended in (True, False)
        ),
        Mistake(
            "there is padding between a question and its answer: the questions were padded first. Join question and "
            "answer, and pad the whole.",
            padded_between,
        ),
        Mistake(
            "there is padding between a question and its answer, and the attention mask is 1 on it. Join question and "
            "answer, and pad the whole.",
            lambda pairs, end_id, pad_id: {
                **(batch := padded_between(pairs, end_id, pad_id)),
                "attention_mask": (batch["attention_mask"].flip(1).cumsum(1) > 0).long().flip(1),
            },
        ),
        Mistake(
            "the end-of-sequence token comes after the padding. It belongs behind the answer's last word: append it "
            "before you pad.",
            ended_after_padding,
        ),
        Mistake(
            "the labels begin at the left: the answer's labels stand under the question. Put −100 in front of them, "
            "once for each token of the question.",
            laid_out(lambda question, reply: (question + reply, reply + [-100] * len(question))),
        ),
        Mistake(
            "the labels stand at the right end of the row, beside padding. They belong under the answer's own tokens.",
            changed(lambda b, end, pad: {"labels": right_aligned(b["labels"], b["attention_mask"])}),
        ),
        Mistake(
            "the answer's first token is no target, and nobody says how to begin. −100 is for the question alone.",
            laid_out(lambda question, reply: (question + reply, [-100] * (len(question) + 1) + reply[1:])),
        ),
        Mistake(
            "the question's last token is a target. −100 is for the whole question.",
            laid_out(lambda question, reply: (question + reply, [-100] * (len(question) - 1) + question[-1:] + reply)),
        ),
        Mistake(
            "the question is dropped: the sequences hold the answers alone. Write the question in front of its answer.",
            laid_out(lambda question, reply: (reply, reply)),
        ),
        Mistake(_EVERYTHING_IS_TARGET, laid_out(lambda question, reply: (question + reply, question + reply))),
        Mistake(
            f"{_EVERYTHING_IS_TARGET} So are those of padding.",
            changed(lambda b, end, pad: {"labels": b["input_ids"].clone()}),
        ),
        Mistake(
            _PADDING_IS_TARGET,
            changed(lambda b, end, pad: {"labels": torch.where(b["attention_mask"] == 0, pad, b["labels"])}),
        ),
        Mistake(
            "the end-of-sequence token of every answer is missing, so the model never learns to stop. Append end_id.",
            laid_out(lambda question, reply: (question + reply[:-1], [-100] * len(question) + reply[:-1])),
        ),
        Mistake(
            "the answer's end-of-sequence token is not a target, so the model never learns to stop. Was every "
            "padding id "
            "masked? The padding may be the same token: mask by length.",
            changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == pad, -100, b["labels"])}),
        ),
        Mistake(
            "the answer's end-of-sequence token is not a target, so the model never learns to stop. Keep its label.",
            laid_out(lambda question, reply: (question + reply, [-100] * len(question) + [*reply[:-1], -100])),
        ),
        Mistake(
            "the answer's end-of-sequence token is hidden by the attention mask or by −100. The padding may be "
            "the same "
            "token: make the mask from the length, not by comparing ids.",
            changed(
                lambda b, end, pad: {
                    "attention_mask": (b["input_ids"] != pad).long(),
                    "labels": torch.where(b["labels"] == pad, -100, b["labels"]),
                }
            ),
        ),
        Mistake(
            "the attention mask hides the end-of-sequence token. The padding may be the same token: make the mask "
            "from "
            "the length, not by comparing ids.",
            changed(lambda b, end, pad: {"attention_mask": (b["input_ids"] != pad).long()}),
        ),
        Mistake(
            "the attention mask is 1 on padding. It is 0 there.",
            changed(lambda b, end, pad: {"attention_mask": torch.ones_like(b["attention_mask"])}),
        ),
        Mistake(
            "the labels are shifted to the left. The model shifts them itself: leave them under their own tokens.",
            changed(lambda b, end, pad: {"labels": shifted(b["labels"], -1)}),
        ),
        Mistake(
            "the labels are shifted to the right. The model shifts them itself: leave them under their own tokens.",
            changed(lambda b, end, pad: {"labels": shifted(b["labels"], 1)}),
        ),
        Mistake(
            "the question is the target and the answer is masked. It is the other way round.",
            laid_out(lambda question, reply: (question + reply, question + [-100] * len(reply))),
        ),
        Mistake(
            "what is no target has the label of the padding token. The loss leaves out −100 and nothing else.",
            changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == -100, pad, b["labels"])}),
        ),
        Mistake(
            "what is no target has the label 0, which is a token. The loss leaves out −100 and nothing else.",
            changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == -100, 0, b["labels"])}),
        ),
        Mistake(
            "what is no target has the label −1. The loss leaves out −100 and nothing else.",
            changed(lambda b, end, pad: {"labels": torch.where(b["labels"] == -100, -1, b["labels"])}),
        ),
        Mistake(
            "padding has the label 0, which is a token. Its label is −100.",
            changed(lambda b, end, pad: {"labels": torch.where(b["attention_mask"] == 0, 0, b["labels"])}),
        ),
        Mistake(
            "questions have the label 0, which is a token. Their labels are −100.",
            changed(
                lambda b, end, pad: {
                    "labels": torch.where((b["labels"] == -100) & (b["attention_mask"] == 1), 0, b["labels"])
                }
            ),
        ),
        Mistake(
            "the attention mask is 0 on the question, so that the answer cannot read it. It is 0 on padding alone.",
            changed(lambda b, end, pad: {"attention_mask": (b["labels"] != -100).long()}),
        ),
        Mistake(
            "the attention mask is turned round: 1 on what is read, 0 on padding.",
            changed(lambda b, end, pad: {"attention_mask": 1 - b["attention_mask"]}),
        ),
        Mistake(
            "the answer stands before the question. First the question, then the answer and its end.",
            lambda pairs, end_id, pad_id: filled([(reply, question) for question, reply in pairs], end_id, pad_id),
        ),
        Mistake(
            "the end-of-sequence token stands before the answer. It belongs behind its last word.",
            laid_out(
                lambda question, reply: (
                    [*question, reply[-1], *reply[:-1]],
                    [-100] * len(question) + [reply[-1], *reply[:-1]],
                )
            ),
        ),
        Mistake(
            "the end-of-sequence token has taken the place of the answer's last word. Append it.",
            laid_out(
                lambda question, reply: (
                    question + reply[:-2] + reply[-1:],
                    [-100] * len(question) + reply[:-2] + reply[-1:],
                )
            ),
        ),
        Mistake(
            "only the end-of-sequence token is a target. All of the answer's tokens are.",
            laid_out(lambda question, reply: (question + reply, [-100] * (len(question + reply) - 1) + reply[-1:])),
        ),
        Mistake(
            "there are two end-of-sequence tokens at the end of each answer. One is enough.",
            laid_out(
                lambda question, reply: (question + reply + reply[-1:], [-100] * len(question) + reply + reply[-1:])
            ),
        ),
        Mistake(
            "there is a column of padding too many: T is the length of the longest sequence, its end included.",
            lambda pairs, end_id, pad_id: widened(filled(pairs, end_id, pad_id), pad_id),
        ),
        Mistake(
            "rows are cut off to the shortest. Pad the shorter ones to the longest.",
            cut_to_the_shortest,
        ),
        Mistake(
            "padding is filled with 0, whatever pad_id is.",
            changed(lambda b, end, pad: {"input_ids": torch.where(b["attention_mask"] == 0, 0, b["input_ids"])}),
        ),
        Mistake(
            "padding is filled with the end-of-sequence token, whatever pad_id is.",
            changed(lambda b, end, pad: {"input_ids": torch.where(b["attention_mask"] == 0, end, b["input_ids"])}),
        ),
        Mistake(
            "padding is filled with −100. That is a label; ids are padded with pad_id.",
            changed(lambda b, end, pad: {"input_ids": torch.where(b["attention_mask"] == 0, -100, b["input_ids"])}),
        ),
        Mistake(
            "the first padding token behind each answer is a target: one too many.",
            changed(lambda b, end, pad: {"labels": one_more(b, pad)}),
        ),
        Mistake(
            "the padding is on the left. This model counts its positions from the left: pad at the right end.",
            lambda pairs, end_id, pad_id: flipped(filled(pairs, end_id, pad_id)),
        ),
        Mistake(
            "there is an end-of-sequence token between question and answer. It belongs after the answer alone.",
            laid_out(lambda question, reply: ([*question, reply[-1], *reply], [-100] * (len(question) + 1) + reply)),
        ),
    ],
)
