"""A task with many right answers, taught in foreign words, in one's own, or by reward alone.

Where a greeting, hunger or boredom is met, the model shall *ask back*: any reply that ends with a question is right. It
can do so already, sometimes. Whether it is shown how somebody else would put it, or only which of its own replies were
good, makes no difference to the score that is reached, but it may to how far the model moves ("Retaining by doing",
arXiv 2510.18874; "RL's Razor", Shenfeld et al., 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.tasks.encoding import IGNORED, Batch, Collator, encode_dialogue, encode_question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Way = Literal["foreign words", "own right answers", "reward"]

# What is said to the model, and how somebody else would ask back.
SAID: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hello!", "Hi!", "Good morning!", "Good evening!", "Hey there!", "Hello, my friend."),
     "Welcome, what brings you to my door?"),
    (("How was your day?", "Did you have a good day?", "How is your day going?"),
     "Rather long, and did yours end well?"),
    (("I am hungry.", "I would like to eat something.", "I have not eaten yet."),
     "Shall my cousin bring bread and cheese?"),
    (("I am bored.", "I have nothing to do.", "There is nothing to do today."),
     "Why not climb a hill with your neighbors?"),
)  # fmt: skip


class AskBack:
    """The prompts as one model's tokenizer writes them, and which replies are right.

    Args:
        tokenizer: With a chat template and a padding token.
        said: Prompts, and a foreign way to ask back for each group of them.
        longest: Longest reply in tokens.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        said: Sequence[tuple[Sequence[str], str]] = SAID,
        longest: int = 20,
    ) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        pairs = [(prompt, foreign) for prompts, foreign in said for prompt in prompts]
        self.prompts = [encode_question(tokenizer, prompt) for prompt, _ in pairs]
        pad_token_id, self.end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self.collate = Collator(int(pad_token_id))  # pyright: ignore[reportArgumentType]  # one number, not a list
        encoded = [encode_dialogue(tokenizer, *pair) for pair in pairs]
        self.foreign = self.collate([{"input_ids": ids, "labels": labels} for ids, labels in encoded])

    def replies(self, model: nn.Module, each: int, seed: int) -> tuple[Batch, Tensor]:
        """Let a model reply to every prompt, drawing from all that it predicts.

        Args:
            model: A causal language model with ``generate``; its mode and the random state are restored.
            each: Replies to each prompt.
            seed: Of the draws.

        Returns:
            Prompts and replies, a batch whose targets are the replies; and [N] whether each reply is right.
        """
        prompts = [prompt for prompt in self.prompts for _ in range(each)]
        width, device = max(map(len, prompts)), next(model.parameters()).device
        filler = self.collate.pad_token_id
        left = torch.tensor([[filler] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        with evaluating(model), torch.random.fork_rng():
            torch.manual_seed(seed)
            ids = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
                input_ids=left, attention_mask=mask, max_new_tokens=self.longest, do_sample=True, temperature=1.0,
                top_k=0, top_p=1.0, eos_token_id=self.end, pad_token_id=filler,
            )  # fmt: skip
        rows, right = [], []
        for prompt, reply in zip(prompts, ids[:, width:].tolist(), strict=True):
            reply = reply[: reply.index(self.end) + 1] if self.end in reply else reply  # with its end, if it has one
            rows.append({"input_ids": prompt + reply, "labels": [IGNORED] * len(prompt) + reply})
            right.append(self._ends_with_a_question(reply))
        return self.collate(rows), torch.tensor(right)

    def _ends_with_a_question(self, reply: list[int]) -> bool:
        """A reply that never ends, or speaks for the user too, is none."""
        special = set(self.tokenizer.all_special_ids)
        return reply[-1] == self.end and special.isdisjoint(reply[:-1]) and self._text(reply[:-1]).endswith("?")

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids)).strip()


def learn_to_ask_back(
    model: nn.Module,
    world: AskBack,
    way: Way,
    *,
    goal: float = 0.9,
    learning_rate: float = 2e-4,
    most_updates: int = 60,
    each: int = 8,
    seed: int = 0,
) -> tuple[float, int]:
    """Train a model until it asks back often enough.

    - "foreign words": cross-entropy on somebody else's replies.
    - "own right answers": cross-entropy on those of its replies, drawn before training, that were right (rejection
      sampling).
    - "reward": every update draws new replies; the log-probability of each is raised or lowered by how much its
      reward, 1 or 0, lies above the mean (REINFORCE with a baseline; Williams, 1992).

    Args:
        model: Changed in place; ends in evaluation mode.
        world: Prompts and what is right.
        way: How it is taught.
        goal: Share of right replies at which training ends, measured on new draws before every update.
        learning_rate: Of AdamW without weight decay.
        most_updates: Give up after so many.
        each: Replies drawn for each prompt.
        seed: Of all draws.

    Returns:
        The share of right replies at the end, and the number of updates.

    Raises:
        ValueError: An unknown way, or not one of the model's own replies was right.
    """
    if way not in get_args(Way):
        raise ValueError(f"way must be one of {', '.join(get_args(Way))}, got {way!r}.")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    fixed = None if way == "reward" else _examples(model, world, way, each, seed)
    model.eval()
    update = 0
    while True:
        batch, right = world.replies(model, each, seed=1000 * (seed + 1) + update)
        score = float(right.float().mean())
        if score >= goal or update == most_updates:
            return score, update
        advantage = right.float() - score if fixed is None else torch.ones(len(fixed["labels"]))
        _update(model, optimizer, batch if fixed is None else fixed, advantage)
        update += 1


def _examples(model: nn.Module, world: AskBack, way: Way, each: int, seed: int) -> Batch:
    if way == "foreign words":
        return world.foreign
    batch, right = world.replies(model, each, seed=1000 * (seed + 1) - 1)
    if not right.any():
        raise ValueError("not one of the model's own replies was right: there is nothing to learn from.")
    return {name: tensor[right] for name, tensor in batch.items()}


def _update(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, advantage: Tensor) -> None:
    """Raise the log-probability of each reply by its advantage; with ones this is the mean loss per token."""
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    targets = batch["labels"][:, 1:]
    nats = nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    loss = (nats.sum(dim=1) * advantage.to(device)).sum() / (targets != IGNORED).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
