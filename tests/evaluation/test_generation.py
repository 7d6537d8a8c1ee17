"""A model's own texts: drawn from its own distribution, cut at their end, and enough for a Fisher."""

import copy

import pytest
import torch

from cfhelpers.evaluation.generation import own_texts, write_on
from cfhelpers.fisher import fisher_diagonal
from cfhelpers.methods import EWC, EWCOnGenerations
from tests import toys

END = 1


def writer(**bias: float) -> torch.nn.Module:
    """A toy whose next token does not depend on what came before: word number → logit."""
    model = toys.causal_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.bias[0] = 1.0
        for word, logit in bias.items():
            model.transformer.wte.weight[int(word[1:]), 0] = logit
    return model


def test_texts_are_drawn_from_all_that_the_model_predicts():
    model = writer(w5=3.0, w6=2.0)
    drawn = torch.cat([batch["input_ids"][:, 1:].flatten() for batch in own_texts(model, 200, length=40)])
    expected = torch.softmax(torch.tensor([0.0] * 5 + [3.0, 2.0] + [0.0] * 13), 0)
    # After a text's end stands padding, which is the end token: leave both out of the comparison.
    kept = [word for word in range(20) if word != END]
    counts = torch.bincount(drawn, minlength=20)[kept].float()
    torch.testing.assert_close(counts / counts.sum(), expected[kept] / expected[kept].sum(), atol=0.02, rtol=0)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize("adapted", [False, True])
def test_what_the_generation_configuration_leaves_out_is_drawn_all_the_same(adapted):
    plain = writer(w5=3.0, w6=2.0)
    wanted = [batch["input_ids"].tolist() for batch in own_texts(plain, 20, length=12)]
    model = copy.deepcopy(plain)
    settings = {"repetition_penalty": 5.0, "suppress_tokens": [5], "min_new_tokens": 11, "temperature": 0.1, "top_k": 1}
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    if adapted:
        from peft import LoraConfig, get_peft_model

        base, config = model, LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
        model = get_peft_model(base, config)
    assert [batch["input_ids"].tolist() for batch in own_texts(model, 20, length=12)] == wanted
    kept = (base if adapted else model).generation_config
    assert {name: getattr(kept, name) for name in settings} == settings


def test_a_text_ends_once_and_what_follows_is_masked():
    batches = own_texts(writer(w1=1.5), 70, length=12)
    assert [len(batch["input_ids"]) for batch in batches] == [64, 6]
    lengths = set()
    for batch in batches:
        assert batch["input_ids"].shape[1] <= 12
        for ids, mask, labels in zip(
            *(batch[k].tolist() for k in ("input_ids", "attention_mask", "labels")), strict=True
        ):
            length = sum(mask)
            lengths.add(length)
            assert ids[0] == END
            assert mask == [1] * length + [0] * (len(ids) - length)
            assert labels == ids[:length] + [-100] * (len(ids) - length)
            assert END not in ids[1 : length - 1]
            assert length == len(ids) or ids[length - 1] == END
    assert len(lengths) > 3


def test_the_model_and_the_random_state_are_as_before_and_the_seed_decides():
    model = toys.causal_model().train()
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first, again, other = (own_texts(model, 3, length=10, seed=seed)[0]["input_ids"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_bad_input_is_named():
    model = toys.causal_model()
    with pytest.raises(ValueError, match="at least one text of at least one token beyond its beginning, got 0 of 64"):
        own_texts(model, 0)
    with pytest.raises(ValueError, match="got 3 of 1"):
        own_texts(model, 3, length=1)
    with pytest.raises(ValueError, match="got 3 of 2"):
        own_texts(model, 3, length=2, start=[5, 6])
    model.config.eos_token_id = None
    model.generation_config.eos_token_id = None
    with pytest.raises(ValueError, match="names a token that ends a text"):
        own_texts(model, 3)


def test_a_text_may_begin_with_other_ids_than_the_end_of_sequence():
    (batch,) = own_texts(toys.causal_model(), 3, length=6, start=[5, 6])
    assert batch["input_ids"][:, :2].tolist() == [[5, 6]] * 3
    assert batch["input_ids"].shape[1] <= 6


def test_the_method_takes_the_fisher_of_the_models_own_texts_and_never_looks_at_data():
    model = toys.causal_model()
    method = EWCOnGenerations(2.0, n_texts=5, length=9, seed=3)

    def forbidden():
        raise AssertionError("the old data are gone")
        yield

    method.protect(model, forbidden())
    expected = fisher_diagonal(model, own_texts(model, 5, length=9, seed=3), progress=False)
    (penalty,) = method.penalties
    assert penalty.importance.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(penalty.importance[name], tensor)
    assert float(sum(tensor.sum() for tensor in expected.values())) > 0
    assert isinstance(method, EWC)


@pytest.mark.parametrize("where", ["config", "generation_config"])
def test_a_text_ends_at_the_first_of_several_ends(where):
    model = toys.causal_model(initializer_range=0.02)
    getattr(model, where).eos_token_id = [1, 3]
    batches = own_texts(model, 40, length=24)
    ended = 0
    for batch in batches:
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            counted = [token for token, label in zip(ids[1:], labels[1:], strict=True) if label != -100]
            assert not {1, 3} & set(counted[:-1])
            ended += counted[-1] == 3
        assert set(batch["input_ids"][:, 0].tolist()) == {1}
    assert ended


def test_more_tokens_than_the_model_has_positions_are_named():
    with pytest.raises(ValueError, match="texts of 65 tokens are longer than the model's 64 positions: set length=64"):
        own_texts(toys.causal_model(), 2, length=65)


def test_a_model_writes_on_after_each_beginning_as_if_it_stood_alone():
    model = toys.causal_model(initializer_range=1.0).train()
    with torch.no_grad():
        model.lm_head.weight.mul_(50)  # so sure that a draw is the most probable token
    beginnings = [[7], [9, 5, 12, 8], [15, 11]]
    expected = []
    for beginning in beginnings:
        row = list(beginning)
        while len(row) < len(beginning) + 6 and END not in row[len(beginning) :]:
            with torch.no_grad():
                row.append(int(model.eval()(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
        expected.append(row[len(beginning) :])
    model.train()
    assert write_on(model, beginnings, length=6) == expected
    assert model.training


def test_what_is_written_on_stops_with_its_end():
    torch.manual_seed(0)
    written = write_on(writer(w1=1.5), [[5, 6], [7]] * 40, length=8)
    assert {len(row) for row in written} == set(range(1, 9))
    assert all(END not in row[:-1] for row in written)
    assert all(row[-1] == END for row in written if len(row) < 8)
