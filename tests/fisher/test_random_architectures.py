"""Random small models, lengths, paddings and freezing patterns, against the loop in float64."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal
from tests.fisher.test_fisher import VOCABULARY, oracle, relative_error


@st.composite
def models(draw: st.DrawFn) -> nn.Module:
    """A small causal language model of one of three families."""
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig
    from transformers import LlamaForCausalLM as Llama

    torch.manual_seed(draw(st.integers(0, 1000)))
    heads, layers = draw(st.sampled_from([1, 2])), draw(st.integers(1, 2))
    width, tied = heads * draw(st.sampled_from([4, 8])), draw(st.booleans())
    family = draw(st.sampled_from(["gpt2", "llama", "neox"]))
    if family == "gpt2":
        config = GPT2Config(
            vocab_size=VOCABULARY, n_positions=16, n_embd=width, n_layer=layers, n_head=heads, tie_word_embeddings=tied
        )
        return GPT2LMHeadModel(config)
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": draw(st.integers(3, 20)),
        "num_hidden_layers": layers, "num_attention_heads": heads, "tie_word_embeddings": tied,
    }  # fmt: skip
    if family == "neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, use_parallel_residual=draw(st.booleans())))
    return Llama(LlamaConfig(**sizes, num_key_value_heads=1, attention_bias=draw(st.booleans()), pad_token_id=0))


@st.composite
def batches(draw: st.DrawFn) -> list[dict[str, Tensor]]:
    """One to three batches of one to four examples of two to nine tokens; some targets are ignored."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        lengths = torch.tensor(draw(st.lists(st.integers(2, 9), min_size=1, max_size=4)))
        width = int(lengths.max()) + draw(st.integers(0, 2))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
        mask = (torch.arange(width)[None] < lengths[:, None]).long()
        ids = torch.randint(1, VOCABULARY, mask.shape, generator=generator).where(mask.bool(), 0)
        ignored = torch.rand(mask.shape, generator=generator) < draw(st.sampled_from([0.0, 0.4]))
        ignored[:, 1] = False
        labels = ids.masked_fill(ignored | ~mask.bool(), -100)
        found.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return found


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(model=models(), data=batches(), frozen=st.lists(st.booleans(), min_size=8, max_size=8))
def test_right_for_random_models(model: nn.Module, data: list[dict[str, Tensor]], frozen: list[bool]) -> None:
    parameters = list(model.parameters())
    for number, parameter in enumerate(parameters):
        parameter.requires_grad_(number == 0 or not frozen[number % len(frozen)])
    assert relative_error(fisher_diagonal(model, data, progress=False), oracle(model, data)) < 1e-5
