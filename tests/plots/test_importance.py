"""Where importance sits: groups by the names of real architectures, shares that sum to one, and what is drawn."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from cfhelpers import plots
from cfhelpers.plots.importance import shares
from cfhelpers.worlds.two_weights import TwoWeightTask, ewc_solution
from tests import toys
from tests.plots.test_plots import bars_of, legend, make_record, texts

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def models():
    sizes: dict[str, Any] = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
    }
    roberta = toys.classifier()
    roberta.add_head("sst2", 2)
    return {
        "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=2, n_head=2)),
        "llama": LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, tie_word_embeddings=False)),
        "bert": BertForSequenceClassification(BertConfig(**sizes)),
        "roberta": roberta,
    }


# By architecture: a name, its layer, its kind.
NAMES = {
    "gpt2": [
        ("transformer.wte.weight", "embeddings", "token embedding"),
        ("transformer.wpe.weight", "embeddings", "position embedding"),
        ("transformer.h.0.ln_1.weight", "layer 0", "normalisation"),
        ("transformer.h.1.attn.c_attn.weight", "layer 1", "attention"),
        ("transformer.h.1.attn.c_proj.bias", "layer 1", "attention"),
        ("transformer.h.1.mlp.c_proj.weight", "layer 1", "feed-forward"),
        ("transformer.ln_f.bias", "end", "normalisation"),
    ],
    "llama": [
        ("model.embed_tokens.weight", "embeddings", "token embedding"),
        ("model.layers.0.input_layernorm.weight", "layer 0", "normalisation"),
        ("model.layers.0.post_attention_layernorm.weight", "layer 0", "normalisation"),
        ("model.layers.1.self_attn.q_proj.weight", "layer 1", "attention"),
        ("model.layers.1.mlp.gate_proj.weight", "layer 1", "feed-forward"),
        ("model.norm.weight", "end", "normalisation"),
        ("lm_head.weight", "end", "head, other"),
    ],
    "bert": [
        ("bert.embeddings.word_embeddings.weight", "embeddings", "token embedding"),
        ("bert.embeddings.token_type_embeddings.weight", "embeddings", "position embedding"),
        ("bert.embeddings.LayerNorm.weight", "embeddings", "normalisation"),
        ("bert.encoder.layer.0.attention.self.query.weight", "layer 0", "attention"),
        ("bert.encoder.layer.0.attention.output.dense.weight", "layer 0", "attention"),
        ("bert.encoder.layer.0.attention.output.LayerNorm.bias", "layer 0", "normalisation"),
        ("bert.encoder.layer.1.intermediate.dense.weight", "layer 1", "feed-forward"),
        ("bert.encoder.layer.1.output.dense.bias", "layer 1", "feed-forward"),
        ("bert.pooler.dense.weight", "end", "head, other"),
        ("classifier.weight", "end", "head, other"),
    ],
    "roberta": [
        ("body.embeddings.word_embeddings.weight", "embeddings", "token embedding"),
        ("body.embeddings.position_embeddings.weight", "embeddings", "position embedding"),
        ("body.encoder.layer.0.attention.self.value.bias", "layer 0", "attention"),
        ("body.encoder.layer.0.output.dense.weight", "layer 0", "feed-forward"),
        ("body.encoder.layer.0.output.LayerNorm.weight", "layer 0", "normalisation"),
        ("heads.sst2.out_proj.weight", "end", "head, other"),
    ],
}


@pytest.mark.parametrize("architecture", NAMES)
def test_names_are_sorted_into_layers_and_kinds(architecture):
    parameters = dict(models()[architecture].named_parameters())
    for name, layer, kind in NAMES[architecture]:
        assert name in parameters, f"the architecture has no {name}; it has {sorted(parameters)}"
        assert (plots.layer_of(name), plots.kind_of(name)) == (layer, kind)


@pytest.mark.parametrize("architecture", NAMES)
def test_inside_a_layer_nothing_is_left_over(architecture):
    for name in dict(models()[architecture].named_parameters()):
        if plots.layer_of(name).startswith("layer"):
            assert plots.kind_of(name) in ("attention", "feed-forward", "normalisation"), name


@pytest.mark.parametrize("group_of", [plots.layer_of, plots.kind_of])
@pytest.mark.parametrize("architecture", NAMES)
def test_shares_sum_to_one(architecture, group_of):
    found = shares({name: each.detach() ** 2 for name, each in models()[architecture].named_parameters()}, group_of)
    assert np.sum(list(found.values()), axis=0) == pytest.approx([1, 1])


IMPORTANCE = {
    "h.0.mlp.weight": torch.full((2, 3), 0.5),  # 3 of 10
    "wte.weight": torch.full((4, 1), 1.5),  # 6 of 10
    "h.0.mlp.bias": torch.tensor([1.0, 0.0]),  # 1 of 10
}


def test_shares_by_hand():
    found = shares({f"transformer.{name}": each for name, each in IMPORTANCE.items()}, plots.layer_of)
    assert found == {"layer 0": pytest.approx((0.4, 8 / 12)), "embeddings": pytest.approx((0.6, 4 / 12))}


def test_shares_are_drawn_in_percent_beside_those_of_the_parameters():
    ax: Any = plots.importance_shares(IMPORTANCE, plots.kind_of)
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert widths["of the importance"] == pytest.approx([40, 60])
    assert widths["of the parameters"] == pytest.approx([100 * 8 / 12, 100 * 4 / 12])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["feed-forward", "token embedding"]
    assert ax.get_xlabel() == "share (%)"
    assert ax.yaxis.get_inverted()  # the first group stands on top
    assert legend(ax) == ["of the importance", "of the parameters"]


def test_an_importance_of_zero_has_no_shares():
    with pytest.raises(ValueError, match="zero everywhere: it has no shares"):
        plots.importance_shares({"wte.weight": torch.zeros(3, 2)})


def test_tokens_are_drawn_by_how_often_they_occur_and_those_that_never_do_are_left_out():
    rows = torch.tensor([[1.0, 3.0], [9.0, 9.0], [0.0, 0.0], [0.5, 0.1]])
    ax: Any = plots.importance_by_token(rows, torch.tensor([7, 0, 5, 2]))
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[7, 2.0], [2, 0.3]])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "occurrences in the data (log scale)"
    assert ax.get_ylabel() == "mean importance of the row (log scale)"


def test_a_model_without_its_head_has_layers_too():
    assert plots.layer_of("h.3.mlp.c_fc.weight") == "layer 3"
    assert plots.layer_of("layers.12.self_attn.q_proj.weight") == "layer 12"


def test_shares_of_half_precision_are_added_up_in_full():
    many = {"h.0.attn.weight": torch.full((3000, 100), 0.5, dtype=torch.float16)}  # the sum is beyond float16
    many["h.1.attn.weight"] = torch.full((1000, 100), 0.5, dtype=torch.float16)
    assert shares(many, plots.layer_of)["layer 0"] == pytest.approx((0.75, 0.75))


# Two bowls -----------------------------------------------------------------------------------------------------------

OLD, NEW = TwoWeightTask((-1.0, 0.5), (2.0, 0.1)), TwoWeightTask((1.0, -0.5), (0.5, 0.5))


def lines_of(ax: Any):
    return {line.get_label(): line.get_xydata() for line in ax.lines}


def test_two_bowls_show_the_optima_the_path_and_the_solution():
    ax: Any = plots.two_bowls(OLD, NEW, strength=0.3)
    lines = lines_of(ax)
    np.testing.assert_allclose(lines["old task: optimum and level lines"], [[-1.0, 0.5]])
    np.testing.assert_allclose(lines["new task: optimum and level lines"], [[1.0, -0.5]])
    np.testing.assert_allclose(lines["λ = 0.3"], [ewc_solution(OLD, NEW, 0.3).numpy()])
    path = lines["EWC, λ from 0.001 to 1000"]
    np.testing.assert_allclose(path[0], ewc_solution(OLD, NEW, 1e-3).numpy())
    np.testing.assert_allclose(path[-1], ewc_solution(OLD, NEW, 1e3).numpy())
    assert set(legend(ax)) == set(lines)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first weight", "second weight")
    assert ax.get_aspect() == 1


def test_without_a_strength_none_is_marked():
    assert not any(label.startswith("λ =") for label in lines_of(plots.two_bowls(OLD, NEW)))


def test_the_whole_fishers_path_is_drawn_where_it_differs():
    correlated = TwoWeightTask((-1.0, 0.5), (2.0, 0.1), 0.6)
    assert "with the whole Fisher" not in lines_of(plots.two_bowls(OLD, NEW))
    path = lines_of(plots.two_bowls(correlated, NEW))["with the whole Fisher"]
    np.testing.assert_allclose(path[60], ewc_solution(correlated, NEW, 1.0, diagonal=False).numpy())


def test_level_lines_are_where_the_loss_has_their_value():
    ax: Any = plots.two_bowls(OLD, NEW)
    for task, contours in zip((OLD, NEW), ax.collections, strict=True):
        for level, path in zip(contours.levels, contours.get_paths(), strict=True):
            np.testing.assert_allclose(task.loss(torch.tensor(path.vertices)).numpy(), level, atol=0.01)


# Records of one sweep ------------------------------------------------------------------------------------------------


def test_sweeps_of_one_method_are_series_of_their_own():
    settings = (("ewc sample", 1.0, 0.5), ("ewc batched", 100.0, 0.4), ("ewc sample", 10.0, 0.9), ("", 3.0, 0.7))
    records = [make_record(old=old, name="ewc", strength=strength) for _, strength, old in settings]
    for record, (sweep, _, _) in zip(records, settings, strict=True):
        record.extra = {"sweep": sweep} if sweep else {}
    ax: Any = plots.retention_against_learning(records)
    assert legend(ax) == ["ewc sample", "ewc batched", "ewc"]  # outside a sweep a record goes by its method
    np.testing.assert_allclose(bars_of(ax, "ewc sample")[0][:, 1], [49, 89])
    np.testing.assert_allclose(bars_of(ax, "ewc batched")[0][:, 1], [39])
    assert texts(ax) == {"1", "10"}  # strengths stand beside the points of a line, not beside a single point
