"""Answers to the exercises of chapter 6, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import numpy as np
import torch
from torch import nn

from tests.course.answers.whole import right, wrong


def _row_by_row(embedded, mask, labels, prompt, start=lambda row: int(row.argmax())):
    e, m, l = [], [], []
    for i, row in enumerate(mask):
        s = start(row)
        e.append(torch.cat([embedded[i, :s], prompt, embedded[i, s:]]))
        m.append(torch.cat([row[:s], torch.ones(len(prompt), dtype=torch.long), row[s:]]))
        l.append(torch.cat([labels[i, :s], torch.full((len(prompt),), -100), labels[i, s:]]))
    mask = torch.stack(m)
    return {
        "inputs_embeds": torch.stack(e),
        "attention_mask": mask,
        "position_ids": mask.cumsum(1) - 1,
        "labels": torch.stack(l),
    }


right("6.1")(_row_by_row)  # −1 on padding


@wrong("6.1", "the prompt stands before the padding, and the positions count the padding")
def behind_prompt(*inputs):
    batch = _row_by_row(*inputs, start=lambda row: 0)
    return {**batch, "position_ids": torch.arange(batch["labels"].shape[1]).expand_as(batch["labels"])}


class _Growing(nn.Module):
    def __init__(self):
        super().__init__()
        self.prompts = nn.ModuleList()

    def add_prompt(self, vectors):
        self.prompts.requires_grad_(False)
        self.prompts.insert(0, nn.Embedding.from_pretrained(vectors.detach().clone(), freeze=False))

    def forward(self):
        return torch.cat([each.weight for each in self.prompts])


right("6.2")(_Growing)  # as embeddings, inserted at the front


@wrong("6.2", "earlier prompts are detached in forward, but still require gradients")
class Prompts(_Growing):
    def add_prompt(self, vectors):
        self.prompts.insert(0, nn.Embedding.from_pretrained(vectors.detach().clone(), freeze=False))

    def forward(self):
        return torch.cat([self.prompts[0].weight, *(each.weight.detach() for each in list(self.prompts)[1:])])


@right("6.3")  # a tensor of shape []
def forward_transfer(matrix, alone):
    return (torch.from_numpy(matrix).diagonal() - torch.from_numpy(alone))[1:].mean()


@wrong("6.3", "the first column was read")
def forward_transfer(matrix, alone):
    return float(np.mean(matrix[1:, 0] - alone[1:]))
