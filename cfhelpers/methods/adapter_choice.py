"""Answer with the adapter that fits the input, when nobody says which task it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cfhelpers.methods.adapters import using_adapters

if TYPE_CHECKING:
    from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput


class ChosenAdapter(nn.Module):
    """A model with one adapter per task that weighs them by the evidence in the input; no task is told.

    A causal model weighs each adapter k by its likelihood of the tokens *up to here*, and mixes what they predict next:
    p(x_{t+1} | x_≤t) = ∑ₖ wₖ(x_≤t) pₖ(x_{t+1} | x_≤t), with wₖ proportional to pₖ(x_≤t): Bayes' rule with equal
    prior probabilities. No target is looked at before it is predicted. An encoder has no likelihood of its input; each
    text is answered by the adapter and head that are surest of their answer (lowest entropy relative to log C).

    Args:
        model: With adapters in it; a classifier with a head for each, of the same name.
        names: Of the adapters.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, task_ids: Tensor | None = None
    ) -> CausalLMOutput | SequenceClassifierOutput:
        """Predict without being told the task.

        Args:
            input_ids: Shape ``[B, T]``.
            attention_mask: Shape ``[B, T]``, 0 on padding; all ones if not given.
            task_ids: Shape ``[B]``; of a classifier only: it says to which head the *labels* belong, and does not
                take part in the choice.

        Returns:
            ``logits``: of a causal model log-probabilities ``[B, T, V]``; of a classifier ``[B, C + 1]``, where a text
            that was given to another task's head has everything on the last column, which is no class of this task.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if hasattr(self.model, "heads"):
            return self._classify(input_ids, attention_mask, task_ids)
        from transformers.modeling_outputs import CausalLMOutput

        each = self._log_probabilities(input_ids, attention_mask)
        weights = self._evidence(each, input_ids, attention_mask).log_softmax(dim=0)
        mixed = torch.logsumexp(torch.stack(each) + weights.unsqueeze(-1), dim=0)
        return CausalLMOutput(logits=mixed)  # pyright: ignore[reportArgumentType]  # a FloatTensor is a Tensor

    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Tensor:
        """Let the adapter write that finds the prompt likeliest.

        Args:
            input_ids: One prompt, shape ``[1, T]``.
            attention_mask: Shape ``[1, T]``.
            **options: As for the model's own ``generate``.

        Raises:
            ValueError: More than one prompt: each may need another adapter.
        """
        if len(input_ids) != 1:
            raise ValueError(f"Give one prompt at a time, not {len(input_ids)}: each may need another adapter.")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        name = self.names[int(self.weights(input_ids, mask)[:, 0, -1].argmax())]
        with using_adapters(self.model, {name: 1.0}):
            return self.model.generate(input_ids=input_ids, attention_mask=mask, **options)  # pyright: ignore[reportCallIssue]  # a method

    @torch.no_grad()
    def weights(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return each adapter's probability given the tokens up to each position, shape ``[K, B, T]``."""
        each = self._log_probabilities(input_ids, attention_mask)
        return self._evidence(each, input_ids, attention_mask).softmax(dim=0)

    def _log_probabilities(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        found = []
        for name in self.names:
            with using_adapters(self.model, {name: 1.0}):
                logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            found.append(logits.float().log_softmax(dim=-1))
        return found

    def _evidence(self, each: list[Tensor], input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Sum log-likelihoods of the tokens up to each position; the first is given, and padding counts nothing."""
        counted = (attention_mask[:, 1:] * attention_mask[:, :-1]).to(each[0].dtype)
        found = []
        for log_probabilities in each:
            of_token = log_probabilities[:, :-1].gather(-1, input_ids[:, 1:, None]).squeeze(-1)
            total = (of_token * counted).cumsum(dim=1)
            found.append(torch.cat([torch.zeros_like(total[:, :1]), total], dim=1))
        return torch.stack(found)

    def _classify(self, input_ids: Tensor, attention_mask: Tensor, task_ids: Tensor | None) -> SequenceClassifierOutput:
        from transformers.modeling_outputs import SequenceClassifierOutput

        heads = list(self.model.heads)  # pyright: ignore[reportArgumentType]  # MultiTaskClassifier.heads
        asked = torch.full_like(input_ids[:, 0], len(heads) - 1) if task_ids is None else task_ids
        doubts, answers = [], []
        for name in self.names:
            head = torch.full_like(asked, heads.index(name))
            with using_adapters(self.model, {name: 1.0}):
                logits = self.model(input_ids=input_ids, attention_mask=attention_mask, task_ids=head).logits.float()
            entropy = torch.distributions.Categorical(logits=logits).entropy()
            doubts.append(entropy / torch.tensor(logits.shape[-1]).log())
            answers.append(logits)
        surest = torch.stack(doubts).argmin(dim=0)
        widest = max(logits.shape[-1] for logits in answers)
        together = input_ids.new_full((len(input_ids), widest + 1), 0).float() - torch.inf
        together[:, -1] = 0.0
        for number, (name, logits) in enumerate(zip(self.names, answers, strict=True)):
            rows = (surest == number) & (asked == heads.index(name))
            together[rows, : logits.shape[-1]] = logits[rows].log_softmax(dim=-1)
            together[rows, -1] = -torch.inf
        return SequenceClassifierOutput(logits=together)  # pyright: ignore[reportArgumentType]  # a FloatTensor is a Tensor
