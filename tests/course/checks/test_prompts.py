"""Chapter 6's exercises: correct answers in several styles pass, other wrong answers are told what is wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from cfhelpers import checks
from cfhelpers.course.checks import CheckFailed
from tests.course.checks.exercises import EXERCISES

# 6.1 A batch behind a prompt -----------------------------------------------------------------------------------------


def by_lists(embedded, mask, labels, prompt):
    """Row by row with Python lists; what stands on padding is left at zero."""
    count, (rows, length) = len(prompt), mask.shape
    embeds = torch.zeros(rows, length + count, prompt.shape[1])
    whole, positions, targets = [], [], []
    for row in range(rows):
        start = next(place for place in range(length) if mask[row, place])
        embeds[row, :start] = embedded[row, :start]
        embeds[row, start : start + count] = prompt
        embeds[row, start + count :] = embedded[row, start:]
        bits = mask[row].tolist()
        whole.append(bits[:start] + [1] * count + bits[start:])
        positions.append([0] * start + list(range(length + count - start)))
        values = labels[row].tolist()
        targets.append(values[:start] + [-100] * count + values[start:])
    return {
        "inputs_embeds": embeds, "attention_mask": torch.tensor(whole), "position_ids": torch.tensor(positions),
        "labels": torch.tensor(targets),
    }  # fmt: skip


def by_gathering(embedded, mask, labels, prompt):
    """Everything at once: put the prompt in front, then sort the padding that was on the left before it."""
    count = len(prompt)
    starts = mask.float().argmax(dim=1, keepdim=True)
    length = mask.shape[1] + count
    place = torch.arange(length).expand(len(mask), -1)
    source = torch.where(place < starts, place + count, place)
    source = torch.where((place >= starts) & (place < starts + count), place - starts, source)

    def arrange(front, rows):
        both = torch.cat([front, rows], dim=1)
        index = source if both.dim() == 2 else source.unsqueeze(-1).expand(-1, -1, both.shape[-1])
        return both.gather(1, index)

    whole = arrange(torch.ones(len(mask), count, dtype=torch.long), mask)
    return {
        "inputs_embeds": arrange(prompt.repeat(len(mask), 1, 1), embedded),
        "attention_mask": whole,
        "position_ids": whole.cumsum(-1).sub(1).clamp_min(0),
        "labels": arrange(torch.full((len(mask), count), -100), labels),
    }


@pytest.mark.parametrize("answer", [by_lists, by_gathering])
def test_a_batch_passes_in_other_styles(answer):
    assert EXERCISES["6.1"](answer) is answer
    checks.require_solved("6.1")


def spoiled(change):
    def answer(*inputs):
        batch = by_lists(*inputs)
        found = change(batch, *inputs)
        return batch if found is None else found

    return answer


def replaced(**changes):
    return spoiled(lambda batch, *inputs: {**batch, **{name: make(batch, *inputs) for name, make in changes.items()}})


def in_place(embedded, mask, labels, prompt):
    labels[:] = -100
    return by_lists(embedded, mask, labels, prompt)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (in_place, "changed the tensors"),
        (lambda *inputs: None, "None: the answer has to end with a return"),
        (lambda *inputs: by_lists(*inputs)["labels"], "must be a dictionary"),
        (spoiled(lambda batch, *inputs: batch.pop("position_ids") and None), "lacks|Boolean"),
        (spoiled(lambda batch, *inputs: {k: v for k, v in batch.items() if k != "labels"}), "lacks"),
        (spoiled(lambda batch, *inputs: {**batch, "input_ids": batch["labels"]}), "does not belong there"),
        (replaced(inputs_embeds=lambda batch, *inputs: batch["inputs_embeds"].detach()), "no gradient reaches"),
        (lambda e, m, y, p: by_lists(e, m, y, torch.tensor(p.tolist())), "no gradient reaches"),
        (lambda e, m, y, p: by_lists(e, m, y, 0 * p), "the prompt's vectors are zeros"),
        (lambda e, m, y, p: by_lists(e, m, y, p.flip(0)), "the prompt's vectors are in the wrong order"),
        (lambda e, m, y, p: by_lists(e, m, y, p[:1]), "has shape"),
        (lambda e, m, y, p: by_lists(e, m, y, torch.cat([p, p])), "has shape"),
        (lambda e, m, y, p: by_lists(0 * e, m, y, p), "where"),
        (lambda e, m, y, p: by_lists(e.flip(1), m, y, p), "where"),
        (replaced(attention_mask=lambda batch, *inputs: batch["attention_mask"].float()), "floating-point"),
        (
            replaced(attention_mask=lambda batch, *inputs: 1 - batch["attention_mask"]),
            "the attention mask is turned round",
        ),
        (replaced(attention_mask=lambda batch, e, m, y, p: m), "has shape"),
        (replaced(position_ids=lambda batch, *inputs: batch["position_ids"] + 2), "where"),
        (replaced(position_ids=lambda batch, *inputs: 0 * batch["position_ids"]), "where"),
        (replaced(position_ids=lambda batch, *inputs: batch["position_ids"][0]), "has shape"),
        (replaced(labels=lambda batch, e, m, y, p: y), "has shape"),
        (
            replaced(labels=lambda batch, *inputs: torch.full_like(batch["labels"], -100)),
            "every label is −100, so that nothing is learn",
        ),
        (replaced(labels=lambda batch, *inputs: batch["labels"].roll(1, dims=1)), "where"),
        (replaced(labels=lambda batch, *inputs: batch["labels"].clamp(min=0)), "where"),
        (replaced(labels=lambda batch, *inputs: batch["labels"].double()), "floating-point"),
        (lambda e, m, y, p: by_lists(e, m, y), "TypeError"),
    ],
)
def test_other_wrong_batches_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["6.1"](answer)


# 6.2 Prompts that grow -----------------------------------------------------------------------------------------------


class InAModuleList(nn.Module):
    """Each prompt a module of its own, kept newest first."""

    def __init__(self):
        super().__init__()
        self.kept = nn.ModuleList()

    def add_prompt(self, vectors):
        for parameter in self.parameters():
            parameter.requires_grad = False
        holder = nn.Module()
        holder.weight = nn.Parameter(vectors.data.clone())
        self.kept.insert(0, holder)

    def forward(self):
        return torch.vstack([holder.weight for holder in self.kept])


class OldAsABuffer(nn.Module):
    """The old prompts one frozen buffer, the newest a parameter."""

    def __init__(self):
        super().__init__()
        self.newest = None

    def add_prompt(self, vectors):
        old = self().detach().clone() if self.newest is not None else vectors.detach()[:0].clone()
        self.register_buffer("old", old)
        self.newest = nn.Parameter(vectors.detach().clone())

    def forward(self):
        return torch.cat([self.newest, self.old])


@pytest.mark.parametrize("answer", [InAModuleList, OldAsABuffer])
def test_growing_prompts_pass_in_other_styles(answer):
    assert EXERCISES["6.2"](answer) is answer


def variant(**methods):
    return type("Variant", (InAModuleList,), methods)


def keep_itself(self, vectors):
    for parameter in self.parameters():
        parameter.requires_grad = False
    holder = nn.Module()
    holder.weight = vectors
    self.kept.insert(0, holder)


def keep_a_view(self, vectors):
    for parameter in self.parameters():
        parameter.requires_grad = False
    holder = nn.Module()
    holder.weight = nn.Parameter(vectors.detach())
    self.kept.insert(0, holder)


class NoModule:
    def add_prompt(self, vectors):
        pass


class InAPlainList(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []

    def add_prompt(self, vectors):
        self.kept.insert(0, nn.Parameter(vectors.detach().clone()))

    def forward(self):
        return torch.cat(self.kept)


def everything_frozen(self, vectors):
    InAModuleList.add_prompt(self, vectors)
    for parameter in self.parameters():
        parameter.requires_grad = False


def only_the_last_one_kept(self, vectors):
    holder = nn.Module()
    holder.weight = nn.Parameter(vectors.detach().clone())
    self.kept = nn.ModuleList([holder])


def random_start(self, vectors):
    InAModuleList.add_prompt(self, torch.randn(vectors.shape))


def frozen_and_scaled(self):
    return 2 * InAModuleList.forward(self)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (variant(add_prompt=keep_itself), "shares its memory"),
        (variant(add_prompt=keep_a_view), "shares its memory"),
        (NoModule, "must be a torch.nn.Module"),
        (InAPlainList, "no optimizer would find"),
        (variant(add_prompt=everything_frozen), "can be trained"),
        (variant(add_prompt=only_the_last_one_kept), "only the newest prompt|has shape"),
        (variant(add_prompt=random_start), "where"),
        (
            variant(add_prompt=lambda self, vectors: InAModuleList.add_prompt(self, 0 * vectors)),
            "the new prompt starts as zeros",
        ),
        (variant(add_prompt=lambda self, vectors: InAModuleList.add_prompt(self, vectors[:1])), "has shape|where"),
        (variant(forward=frozen_and_scaled), "times|where"),
        (variant(forward=lambda self: InAModuleList.forward(self).detach()), "can be trained"),
        (variant(forward=lambda self: InAModuleList.forward(self).sum(0, keepdim=True)), "has shape"),
        (variant(forward=lambda self: InAModuleList.forward(self)[None]), "has shape"),
        (variant(forward=lambda self: [holder.weight for holder in self.kept]), "requires_grad|must be a tensor"),
        (variant(forward=lambda self: self.kept[-1].weight), "has shape|trained"),
        (variant(forward=lambda self: torch.cat([h.weight for h in self.kept][::-1])), "oldest prompt stands first"),
        (variant(forward=lambda self: torch.cat([h.weight for h in self.kept], dim=1)), "stopped with|has shape"),
        (lambda: None, "must be a torch.nn.Module"),
    ],
)
def test_other_wrong_lists_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["6.2"](answer)


# 6.3 Forward transfer ------------------------------------------------------------------------------------------------


def transfer_with_numpy(matrix, alone):
    return (np.diag(matrix) - alone)[1:].mean()


def transfer_with_torch(matrix, alone):
    gains = torch.tensor(matrix).diagonal() - torch.tensor(alone)
    return gains[1:].sum() / (len(gains) - 1)


@pytest.mark.parametrize("answer", [transfer_with_numpy, transfer_with_torch])
def test_forward_transfer_passes_in_other_styles(answer):
    assert EXERCISES["6.3"](answer) is answer


def filled(matrix, alone):
    matrix[np.isnan(matrix)] = 0
    return transfer_with_numpy(matrix, alone)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (filled, "changed the arrays"),
        (lambda matrix, alone: None, "None: the answer"),
        (lambda matrix, alone: np.diag(matrix) - alone, "one number, but it has shape"),
        (lambda matrix, alone: "much", "must be one number|must be True or False"),
        (lambda matrix, alone: 0.0, "where"),
        (lambda matrix, alone: transfer_with_numpy(matrix, alone) + 0.01, "where"),
        (
            lambda matrix, alone: 100 * transfer_with_numpy(matrix, alone),
            "this is in percent, but the scores are shares",
        ),
        (lambda matrix, alone: transfer_with_numpy(matrix, alone) / 2, "0.5 times"),
        (lambda matrix, alone: np.nanmean(matrix) - alone.mean(), "where"),
        (lambda matrix, alone: np.mean(matrix), "NaN"),
        (lambda matrix, alone: np.median((np.diag(matrix) - alone)[1:]), "the median was taken"),
        (lambda matrix, alone: np.max((np.diag(matrix) - alone)[1:]), "the largest gain was taken"),
        (lambda matrix, alone: (np.diag(matrix) - alone)[-1], "only the last task is compared"),
        (lambda matrix, alone: matrix[-1, -1] - matrix[0, 0], "where"),
        (
            lambda matrix, alone: np.nanmean(np.nanmax(matrix, axis=0)[1:] - alone[1:]),
            "each task's best score was taken",
        ),
        (lambda matrix, alone: np.mean(np.diag(matrix)[1:]) - alone.mean(), "where"),
        (lambda matrix, alone: np.std((np.diag(matrix) - alone)[1:]), "where"),
        (lambda matrix, alone: np.mean(np.square((np.diag(matrix) - alone)[1:])), "where"),
        (lambda matrix, alone: matrix["last"], "IndexError"),
        (
            lambda matrix, alone: transfer_with_numpy(matrix.T, alone[::-1]),
            "each task is compared with the score alone of",
        ),
        (lambda matrix, alone: transfer_with_numpy(matrix), "TypeError"),
    ],
)
def test_other_wrong_transfers_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        EXERCISES["6.3"](answer)
