"""Where importance sits: groups by name, their shares, and the rows of an embedding."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

from cfhelpers import plots
from cfhelpers.plots.importance import shares
from tests.toys import causal_model, classifier

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


NAMES = {  # parameter: (kind, layer)
    "transformer.wte.weight": ("token embedding", "embeddings"),
    "transformer.wpe.weight": ("position embedding", "embeddings"),
    "transformer.h.1.ln_2.bias": ("normalisation", "layer 1"),
    "transformer.h.11.attn.c_attn.weight": ("attention", "layer 11"),
    "transformer.h.0.attn.c_proj.bias": ("attention", "layer 0"),
    "transformer.h.0.mlp.c_proj.weight": ("feed-forward", "layer 0"),
    "transformer.ln_f.weight": ("normalisation", "end"),
    "h.3.mlp.c_fc.weight": ("feed-forward", "layer 3"),  # of the model without its head
    "roberta.embeddings.word_embeddings.weight": ("token embedding", "embeddings"),
    "roberta.embeddings.position_embeddings.weight": ("position embedding", "embeddings"),
    "roberta.embeddings.token_type_embeddings.weight": ("position embedding", "embeddings"),
    "roberta.embeddings.LayerNorm.weight": ("normalisation", "embeddings"),
    "roberta.encoder.layer.2.attention.self.key.bias": ("attention", "layer 2"),
    "roberta.encoder.layer.2.attention.output.dense.weight": ("attention", "layer 2"),
    "roberta.encoder.layer.2.attention.output.LayerNorm.weight": ("normalisation", "layer 2"),
    "roberta.encoder.layer.2.intermediate.dense.weight": ("feed-forward", "layer 2"),
    "roberta.encoder.layer.2.output.dense.weight": ("feed-forward", "layer 2"),
    "heads.sst2.dense.weight": ("head, other", "end"),
    "classifier.out_proj.bias": ("head, other", "end"),
    "model.embed_tokens.weight": ("token embedding", "embeddings"),
    "model.layers.29.self_attn.q_proj.weight": ("attention", "layer 29"),
    "model.layers.29.mlp.gate_proj.weight": ("feed-forward", "layer 29"),
    "model.layers.29.post_attention_layernorm.weight": ("normalisation", "layer 29"),
    "model.norm.weight": ("normalisation", "end"),
    "lm_head.weight": ("head, other", "end"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_is_told_by_its_name(name):
    assert (plots.kind_of(name), plots.layer_of(name)) == NAMES[name]


def test_no_weight_of_the_course_is_left_without_a_place():
    causal = {name for name, _ in causal_model().named_parameters()}
    assert {plots.layer_of(name) for name in causal} == {"embeddings", "layer 0", "layer 1", "end"}
    everything = {"token embedding", "position embedding", "normalisation", "attention", "feed-forward"}
    assert {plots.kind_of(name) for name in causal} == everything
    body = {name for name, _ in classifier().named_parameters()}
    assert {plots.layer_of(name) for name in body} == {"embeddings", "layer 0"}
    assert {plots.kind_of(name) for name in body} == everything


IMPORTANCE = {
    "transformer.wte.weight": torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]]),  # 8 of 20, 6 of 10 entries
    "transformer.h.0.attn.c_attn.weight": torch.tensor([[9.0]]),
    "transformer.h.0.mlp.c_fc.bias": torch.tensor([1.0, 0.0]),
    "transformer.h.1.attn.c_attn.weight": torch.tensor([[2.0]]),
}


def test_shares_by_layer_and_by_kind():
    by_layer = shares(IMPORTANCE, plots.layer_of)
    assert list(by_layer) == ["embeddings", "layer 0", "layer 1"]
    assert by_layer["embeddings"] == pytest.approx((0.4, 0.6))
    assert by_layer["layer 0"] == pytest.approx((0.5, 0.3))
    assert by_layer["layer 1"] == pytest.approx((0.1, 0.1))
    by_kind = shares(IMPORTANCE, plots.kind_of)
    assert by_kind["attention"] == pytest.approx((0.55, 0.2))
    for found in (by_layer, by_kind):
        np.testing.assert_allclose(np.sum(list(found.values()), axis=0), 1)


def test_shares_of_half_precision_are_added_up_in_full():
    many = {"transformer.h.0.attn.c_attn.weight": torch.full((3000, 100), 0.5, dtype=torch.float16)}
    many["transformer.h.1.attn.c_attn.weight"] = torch.full((1000, 100), 0.5, dtype=torch.float16)  # 50,000 < 65,504
    assert shares(many, plots.layer_of)["layer 0"] == pytest.approx((0.75, 0.75))


def test_nothing_has_no_shares():
    with pytest.raises(ValueError, match="zero everywhere"):
        plots.importance_shares({"transformer.h.0.attn.c_attn.weight": torch.zeros(2, 2)})


def test_bars_show_importance_beside_parameters_from_the_first_layer_down():
    ax: Any = plots.importance_shares(IMPORTANCE)
    importance, parameters = ax.containers
    assert (importance.get_label(), parameters.get_label()) == ("of the importance", "of the parameters")
    np.testing.assert_allclose([bar.get_width() for bar in importance], [40, 50, 10])
    np.testing.assert_allclose([bar.get_width() for bar in parameters], [60, 30, 10])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["embeddings", "layer 0", "layer 1"]
    assert ax.yaxis.get_inverted()
    assert ax.get_xlabel() == "share (%)"
    assert plots.importance_shares(IMPORTANCE, plots.kind_of, ax=ax) is ax


def test_rows_of_the_embedding_stand_over_how_often_their_token_occurs():
    rows, counts = IMPORTANCE["transformer.wte.weight"], torch.tensor([5, 7, 100])
    ax: Any = plots.importance_by_token(rows, counts)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[5, 2], [100, 2]])  # a row of zeros has no logarithm
    assert ax.get_xlabel() == "occurrences in the data (log scale)"
    assert ax.get_ylabel() == "mean importance of the row (log scale)"


def test_tokens_that_never_occur_are_left_out():
    ax: Any = plots.importance_by_token(IMPORTANCE["transformer.wte.weight"], [0, 3, 4])
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[4, 2]])
