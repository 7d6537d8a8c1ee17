"""Models small enough that a wrong number can be traced, which note how they were used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn

from cfhelpers.course.checks.exercise import CheckFailed
from cfhelpers.models.classifier import MultiTaskClassifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput


class Observations(list[dict[str, bool]]):
    """What a model noticed at each forward; a copy of the model goes on writing into the same list."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class ToyBody(nn.Module):
    """An encoder whose token states are its embeddings: what it makes of a text can be worked out by hand.

    Args:
        embedding: Shape ``[V, D]``.
    """

    def __init__(self, embedding: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(embedding.clone(), freeze=False)
        self.dropout = nn.Dropout(0.5)
        self.config = SimpleNamespace(hidden_size=embedding.shape[1], hidden_dropout_prob=0.5)
        self.observed = Observations()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any) -> SimpleNamespace:
        """Return an object with ``last_hidden_state`` [B, T, D]."""
        self.observed.append({"training": self.training, "masked": attention_mask is not None})
        return SimpleNamespace(last_hidden_state=self.dropout(self.embedding(input_ids)))


def toy_classifier(embedding: Tensor, heads: dict[str, int]) -> MultiTaskClassifier:
    """Return the library's classifier on a :class:`ToyBody`, in training mode as training leaves it."""
    classifier = MultiTaskClassifier(cast("PreTrainedModel", ToyBody(embedding)), seed=0)
    for name, classes in heads.items():
        classifier.add_head(name, classes)
    return classifier.train()


def toy_body(classifier: MultiTaskClassifier) -> ToyBody:
    """Return the encoder of a toy classifier."""
    body: Any = classifier.body
    return body


class ToyLanguageModel(nn.Module):
    """A causal language model with tied embedding, dropout and one frozen parameter, as real ones have them.

    A position's state is the mean of the embeddings up to it. The loss is Hugging Face's: shifted inside, the mean
    over all targets that are not −100.
    """

    def __init__(self, vocabulary: int = 9, width: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.embedding = nn.Embedding(vocabulary, width)
        self.mixing = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.tensor(1.5), requires_grad=False)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, vocabulary, bias=False)
        for parameter in (self.embedding.weight, self.mixing.weight, self.mixing.bias):
            nn.init.normal_(parameter, generator=generator)
        self.head.weight = self.embedding.weight
        self.observed = Observations()

    def forward(
        self,
        input_ids: Tensor,
        past_key_values: None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> CausalLMOutput:
        """Return ``logits`` [B, T, V] and, with labels [B, T], the mean ``loss`` in nats; arguments as GPT-2's."""
        from transformers.modeling_outputs import CausalLMOutput

        if past_key_values is not None:
            raise TypeError("the second argument is past_key_values; pass attention_mask=… and labels=… by name")
        self.observed.append({"training": self.training})
        length = torch.arange(1, input_ids.shape[1] + 1).unsqueeze(-1)
        states = torch.tanh(self.mixing(self.embedding(input_ids).cumsum(dim=1) / length))
        logits = self.head(self.dropout(states)) * self.temperature
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutput(loss=cast("torch.FloatTensor | None", loss), logits=cast("torch.FloatTensor", logits))


class Unharmed:
    """Notices what an answer did to a model that it should only have looked at."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}

    def changed(self) -> list[str]:
        """Return the names of the weights that are not what they were."""
        return [name for name, tensor in self.model.state_dict().items() if not torch.equal(tensor, self.before[name])]

    def check(self) -> None:
        """Compare the model with what it was.

        Raises:
            CheckFailed: Its weights changed, gradients were left behind, or parameters were frozen.
        """
        for name in self.changed():
            raise CheckFailed(f"your code changed the model: {name} is not what it was. Only read the weights here.")
        if any(parameter.grad is not None and parameter.grad.any() for parameter in self.model.parameters()):
            raise CheckFailed(
                "your code left gradients in the model, and the next optimizer step would follow them. Compute without "
                "gradients if you need none, otherwise end with model.zero_grad()."
            )
        now = {name: parameter.requires_grad for name, parameter in self.model.named_parameters()}
        if now != self.trainable:
            raise CheckFailed(
                "your code changed requires_grad of parameters, so the model cannot be trained as before. Leave "
                "them as they are, or set them back."
            )


def require_evaluation_mode(observed: Observations) -> None:
    """Raise CheckFailed if the model was ever run in training mode."""
    if any(each["training"] for each in observed):
        raise CheckFailed(
            "the model was in training mode, so dropout changed its answers at random. Call model.eval() first."
        )
