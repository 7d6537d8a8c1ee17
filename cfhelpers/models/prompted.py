"""A model that reads learned vectors before its text: soft prompts, on an encoder and on a causal language model.

The text keeps all that it had without a prompt: its mask, its positions in an encoder, its targets, and as many states
or logits as it has tokens. In an encoder the prompt stands after the first token (``<s>``, ``[CLS]``), whose place a
pretrained head may read, and shares that token's position: the text's positions do not move, and however many prompts
there are, no table of positions runs out. In a causal model it stands before the text and positions count through:
``[padding] [prompt] [text]``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cfhelpers.models.classifier import MultiTaskClassifier
from cfhelpers.models.soft_prompt import SoftPrompt, first_real, insert, remove
from cfhelpers.models.tied import drop_tied, fill_tied

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput


class PromptedEncoder(nn.Module):
    """An encoder that reads prompts after each text's first token and returns the states of the text alone.

    Prompt positions are attended to and not returned, so whoever pools the states pools the text: a sentence's mean
    does not drift towards the prompts as these grow.

    Args:
        body: An encoder as ``AutoModel`` gives it, which can be told positions (BERT, RoBERTa and their kin).
        prompts: In the order in which they stand in front of the text; shared, not copied.

    Raises:
        ValueError: There is no prompt, one has another width than the encoder, or the encoder takes no positions.
    """

    def __init__(self, body: PreTrainedModel, prompts: Sequence[SoftPrompt]) -> None:
        super().__init__()
        if "position_ids" not in inspect.signature(body.forward).parameters:
            raise ValueError(f"{type(body).__name__} cannot be told positions (position_ids), which prompts need.")
        _check_width(body, prompts)
        self.body = body
        self.prompts = nn.ModuleList(prompts)

    @property
    def config(self) -> PreTrainedConfig:
        """The encoder's configuration."""
        return self.body.config

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **inputs: Any
    ) -> BaseModelOutput:
        """Encode a batch.

        Args:
            input_ids: Shape ``[B, T]``.
            attention_mask: Shape ``[B, T]``, 0 on padding, on whichever side; all ones if not given.
            **inputs: ``token_type_ids``, which is 0 on the prompt; others go to the encoder as they are.

        Returns:
            ``last_hidden_state`` ``[B, T, D]``, one state for each position of ``input_ids``.

        Raises:
            ValueError: Without ``input_ids``, or with ``position_ids`` or ``inputs_embeds``, which are made here.
        """
        from transformers.modeling_outputs import BaseModelOutput

        ids, mask = _checked(input_ids, attention_mask, inputs)
        prompt = torch.cat([prompt() for prompt in self.prompts])
        starts = first_real(mask) + 1
        embedded = self.body.get_input_embeddings()(ids)
        first = _first_position(self.body)
        positions = first + (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        if "token_type_ids" in inputs:
            inputs["token_type_ids"] = insert(inputs["token_type_ids"], ids.new_zeros(len(prompt)), starts)
        states = self.body(
            inputs_embeds=insert(embedded, prompt.to(embedded.dtype), starts),
            attention_mask=insert(mask, mask.new_ones(len(prompt)), starts),
            position_ids=insert(positions, positions.new_full((len(prompt),), first), starts),
            **inputs,
        ).last_hidden_state
        return BaseModelOutput(last_hidden_state=remove(states, len(prompt), starts))


class PromptedCausalModel(nn.Module):
    """A causal language model that reads prompts before each text: ``[padding] [prompt] [text] [padding]``.

    Args:
        base: A causal language model of transformers.
        prompts: In the order in which they stand in front of the text; shared, not copied.

    Raises:
        ValueError: There is no prompt, or one has another width than the model.
    """

    def __init__(self, base: PreTrainedModel, prompts: Sequence[SoftPrompt]) -> None:
        super().__init__()
        _check_width(base, prompts)
        self.base = base
        self.prompts = nn.ModuleList(prompts)
        self.register_state_dict_post_hook(drop_tied)
        self.register_load_state_dict_pre_hook(fill_tied)

    @property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, where the Trainer looks for it."""
        return self.base.config

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.base.device

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> CausalLMOutput:
        """Predict the next token at every position of a text.

        Args:
            input_ids: Shape ``[B, T]``.
            attention_mask: Shape ``[B, T]``, 0 on padding, on whichever side; all ones if not given.
            labels: Shape ``[B, T]``, −100 where ignored; shifted inside. Neither the prompt nor a text's first token
                is a target: without a prompt nothing could predict that token, and losses stay comparable.
            **inputs: ``num_items_in_batch`` and other settings of the model's loss.

        Returns:
            ``loss`` as the model itself computes it, None without labels, and ``logits`` ``[B, T, V]``, one row for
            each position of ``input_ids``.

        Raises:
            ValueError: Without ``input_ids``, with ``position_ids`` or ``inputs_embeds``, which are made here, or
                prompt and text together are longer than the model's context.
        """
        from transformers.modeling_outputs import CausalLMOutput

        ids, mask = _checked(input_ids, attention_mask, inputs)
        embedded, whole_mask, starts = self._prompted(ids, mask)
        length = embedded.shape[1] - ids.shape[1]
        if labels is not None:
            # A row may be padding alone; then its starts point at its first position, which is no target either.
            labels = labels.scatter(1, starts[:, None], -100)
            inputs["labels"] = insert(labels, labels.new_full((length,), -100), starts)
        outputs = self.base(
            inputs_embeds=embedded,
            attention_mask=whole_mask,
            position_ids=(whole_mask.long().cumsum(dim=1) - 1).clamp(min=0),
            use_cache=False,
            **inputs,
        )
        return CausalLMOutput(loss=outputs.loss, logits=remove(outputs.logits, length, starts))

    @torch.no_grad()
    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **settings: Any) -> Tensor:
        """Continue texts with the model's own ``generate``.

        Args:
            input_ids: Shape ``[B, T]``, padded on the left.
            attention_mask: Shape ``[B, T]``; all ones if not given.
            **settings: Of transformers' ``generate``.

        Returns:
            ``input_ids`` and what follows them, as without a prompt; the prompt is not among them.

        Raises:
            ValueError: Padding on the right, after which nothing can be continued, or too long a text.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if not bool(mask[:, -1].all()):
            raise ValueError("generate continues the last position: pad on the left (tokenizer.padding_side='left').")
        embedded, whole_mask, _ = self._prompted(input_ids, mask)
        base: Any = self.base  # transformers' own annotations of generate are too narrow
        written = base.generate(inputs_embeds=embedded, attention_mask=whole_mask, **settings)
        return torch.cat([input_ids, written], dim=1)

    def _prompted(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings [B, T + P, D] and mask [B, T + P] with the prompt in them, and where it starts [B]."""
        prompt = torch.cat([prompt() for prompt in self.prompts])
        context = getattr(self.config, "max_position_embeddings", None)
        if context is not None and ids.shape[1] + len(prompt) > context:
            raise ValueError(
                f"{ids.shape[1]} tokens after a prompt of {len(prompt)} do not fit a context of {context}: "
                "shorten the text (max_length) or the prompts."
            )
        embedded = self.base.get_input_embeddings()(ids)
        starts = first_real(mask)
        return (
            insert(embedded, prompt.to(embedded.dtype), starts),
            insert(mask, mask.new_ones(len(prompt)), starts),
            starts,
        )


def with_prompts(model: nn.Module, prompts: Sequence[SoftPrompt]) -> MultiTaskClassifier | PromptedCausalModel:
    """Return a view of a classifier or causal model that reads these prompts; all weights are shared with ``model``.

    Args:
        model: With or without prompts; those that it has are left out of the view.
        prompts: In the order in which they stand in front of the text.
    """
    bare: Any = without_prompts(model)
    if not isinstance(bare, MultiTaskClassifier):
        view = PromptedCausalModel(bare, prompts)
    else:
        body: Any = PromptedEncoder(bare.body, prompts)
        body.training = bare.body.training
        view = MultiTaskClassifier(body, seed=bare.seed)
        view.heads = bare.heads
    view.training = bare.training  # of the view alone: what it shares has a mode of its own
    return view


def without_prompts(model: nn.Module) -> nn.Module:
    """Return the model beneath its prompts, with all weights shared; the model itself if it has none."""
    if isinstance(model, PromptedCausalModel):
        return model.base
    if isinstance(model, MultiTaskClassifier) and isinstance(model.body, PromptedEncoder):
        view = MultiTaskClassifier(model.body.body, seed=model.seed)
        view.heads = model.heads
        view.training = model.training
        return view
    return model


def _checked(ids: Tensor | None, mask: Tensor | None, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    if ids is None or {"position_ids", "inputs_embeds"} & inputs.keys():
        raise ValueError("A prompted model takes input_ids; it makes inputs_embeds and position_ids itself.")
    return ids, torch.ones_like(ids) if mask is None else mask


def _check_width(model: Any, prompts: Sequence[SoftPrompt]) -> None:
    if not prompts:
        raise ValueError("A prompted model needs at least one prompt.")
    width = model.get_input_embeddings().weight.shape[1]
    for prompt in prompts:
        if prompt.vectors.shape[1] != width:
            raise ValueError(f"A prompt of width {prompt.vectors.shape[1]} does not fit embeddings of width {width}.")


def _first_position(body: Any) -> int:
    """Return the position id of a first token: RoBERTa counts from its padding id + 1, others from 0."""
    table = getattr(getattr(body, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1
