"""A language model that learns from its own words: what becomes of a share that it was taught once.

Each of a few sentences can end in one of two words. The model is first taught how often each is said, and then, update
after update, from endings that it has chosen itself. Whether such a loop amplifies the commoner word depends on how
closely the choices follow the model's own probabilities (Taori & Hashimoto, 2023, "Data feedback loops"), and rare
words die out by chance alone (Shumailov et al., 2024, "AI models collapse when trained on recursively generated data").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating, model_inputs
from cfhelpers.tasks.encoding import IGNORED, Collator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOBS = ("baker", "teacher", "doctor", "pilot", "farmer", "writer", "nurse", "painter", "sailor", "judge")
PROMPTS = tuple(f"The {job} says that" for job in JOBS)
ENDINGS = (" he", " she")


class TwoEndings:
    """P sentences and the two words that each can end in, as one model's tokenizer writes them.

    Args:
        tokenizer: With a padding token.
        prompts: The beginnings.
        endings: The two words, each with the space before it.

    Raises:
        ValueError: A prompt with an ending does not begin with the prompt's own tokens, or both endings begin with the
            same token, so that one prediction cannot tell them apart.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str] = PROMPTS,
        endings: tuple[str, str] = ENDINGS,
    ) -> None:
        pad_token_id, encode = tokenizer.pad_token_id, lambda text: list(tokenizer(text)["input_ids"])
        self._collate = Collator(int(pad_token_id))  # pyright: ignore[reportArgumentType]  # one number, not a list
        beginnings = [encode(prompt) for prompt in prompts]
        self._sentences = [[encode(prompt + ending) for ending in endings] for prompt in prompts]
        for prompt, beginning, sentences in zip(prompts, beginnings, self._sentences, strict=True):
            first = {sentence[len(beginning)] for sentence in sentences if sentence[: len(beginning)] == beginning}
            if len(first) < 2:
                raise ValueError(f"After {prompt!r} the endings {endings} do not begin with two tokens of their own.")
        self._lengths = [len(beginning) for beginning in beginnings]
        self._first = torch.tensor(
            [
                [sentence[length] for sentence in pair]
                for pair, length in zip(self._sentences, self._lengths, strict=True)
            ]
        )
        self._asked = self._collate([{"input_ids": ids, "labels": ids} for ids in beginnings])

    def share(self, model: nn.Module, *, temperature: float = 1.0) -> Tensor:
        """Return how often the model would choose the first ending, if it has to choose one of the two.

        Args:
            model: A causal language model; its mode is restored.
            temperature: Below 1 the probable ending is chosen more often than the model believes in it.

        Returns:
            Shape ``[P]``, one share for each sentence, between 0 and 1.

        Raises:
            ValueError: The temperature is not positive.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}.")
        with evaluating(model):
            logits = model(**model_inputs(model, self._asked)).logits.float().cpu()
        rows = torch.arange(len(self._lengths))
        at_the_end = logits[rows, torch.tensor(self._lengths) - 1]
        return torch.softmax(at_the_end.gather(1, self._first) / temperature, dim=1)[:, 0]

    def teach(
        self,
        model: nn.Module,
        share: float | Tensor,
        *,
        steps: int,
        learning_rate: float,
        seed: int,
        batch_size: int = 16,
    ) -> None:
        """Train the model, in place, on sentences whose endings are drawn with the given share.

        Dropout stays as the model has it: off in evaluation mode, and then the drawn sentences are the only chance.

        Args:
            model: A causal language model.
            share: Of the first ending: one number, or one for each sentence, shape ``[P]``.
            steps: Optimizer steps of AdamW; its learning rate rises for half of them, then falls.
            learning_rate: In the middle.
            seed: Of the draws.
            batch_size: Sentences in one step.

        Raises:
            ValueError: A share that is not between 0 and 1, or fewer than one step.
        """
        shares = torch.as_tensor(share, dtype=torch.float32).expand(len(self._lengths))
        if not bool(((shares >= 0) & (shares <= 1)).all()) or steps < 1:
            raise ValueError(f"share must lie between 0 and 1 and steps be at least 1, got {share} and {steps}.")
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)
        # Adam's first steps have their full length whatever the gradient: a few of them would overshoot any share.
        slope = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 2 * min(step + 1, steps - step) / (steps + 1))
        for _ in range(steps):
            batch = self._draw(shares, batch_size, generator)
            device = next(model.parameters()).device
            model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            slope.step()

    def _draw(self, shares: Tensor, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw sentences and their endings; only an ending is a target."""
        which = torch.randint(len(shares), (count,), generator=generator)
        second = torch.rand(count, generator=generator) >= shares[which]
        rows = []
        for prompt, ending in zip(which.tolist(), second.int().tolist(), strict=True):
            ids, length = self._sentences[prompt][ending], self._lengths[prompt]
            rows.append({"input_ids": ids, "labels": [IGNORED] * length + ids[length:]})
        return self._collate(rows)


def next_share(share: float, temperature: float) -> float:
    """Return the share of the first ending after one update that learns exactly what was said.

    p′ = p^(1/τ) / (p^(1/τ) + (1 − p)^(1/τ)): what drawing at temperature τ makes of the share p.

    Args:
        share: Before, between 0 and 1.
        temperature: τ, positive.

    Raises:
        ValueError: The share is not between 0 and 1, or the temperature is not positive.
    """
    if not 0 <= share <= 1 or not temperature > 0:
        raise ValueError(f"a share lies between 0 and 1 and a temperature above 0, got {share} and {temperature}.")
    # Divided by the larger of the two powers, which a small temperature would send to zero.
    odds = (min(share, 1 - share) / max(share, 1 - share)) ** (1 / temperature)
    smaller = odds / (1 + odds)
    return 1 - smaller if share >= 0.5 else smaller
