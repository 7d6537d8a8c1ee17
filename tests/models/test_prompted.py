"""Prompts in front of a text: everything lands where it belongs, and nothing hangs on what else is in the batch."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cfhelpers.evaluation.scores import answer_questions
from cfhelpers.models.classifier import MultiTaskClassifier
from cfhelpers.models.prompted import PromptedCausalModel, PromptedEncoder, with_prompts, without_prompts
from cfhelpers.models.soft_prompt import SoftPrompt, insert, remove
from tests import toys

TEXTS = [[7, 8, 9, 10, 11], [12, 13], [14, 15, 16]]


def llama(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**(sizes | heads | ends | changes)))


def prompts(width, *lengths):
    generator = torch.Generator().manual_seed(5)
    return [SoftPrompt(torch.randn(length, width, generator=generator)) for length in lengths]


def padded(side):
    longest = max(map(len, TEXTS))
    fill = [[0] * (longest - len(text)) for text in TEXTS]
    join = (lambda text, pad: pad + text) if side == "left" else (lambda text, pad: text + pad)
    ids = torch.tensor([join(text, pad) for text, pad in zip(TEXTS, fill, strict=True)])
    mask = torch.tensor([join([1] * len(text), pad) for text, pad in zip(TEXTS, fill, strict=True)])
    return ids, mask


def causal(make):
    return make().double().eval()


@pytest.fixture(params=[toys.causal_model, llama], ids=["gpt2", "llama"])
def base(request):
    return causal(request.param)


def by_hand(base, made, text):
    """One text alone, its embeddings joined by hand; logits at the text's own positions [T, V]."""
    vectors = [prompt.vectors for prompt in made]
    embedded = torch.cat([*vectors, base.get_input_embeddings()(torch.tensor(text))])[None]
    return base(inputs_embeds=embedded).logits[0, sum(map(len, made)) :]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_causal_model_reads_the_prompt_then_the_text_whatever_the_padding(base, side):
    made = prompts(32, 3, 2)
    made = [prompt.double() for prompt in made]
    ids, mask = padded(side)
    with torch.no_grad():
        logits = PromptedCausalModel(base, made).eval()(input_ids=ids, attention_mask=mask).logits
        for row, text in enumerate(TEXTS):
            torch.testing.assert_close(logits[row][mask[row] == 1], by_hand(base, made, text), rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_counts_the_text_without_its_first_token_and_never_the_prompt(base, side):
    made = [prompt.double() for prompt in prompts(32, 4)]
    ids, mask = padded(side)
    labels = torch.where(mask == 1, ids, -100)
    loss = PromptedCausalModel(base, made).eval()(input_ids=ids, attention_mask=mask, labels=labels).loss
    nats, count = 0.0, 0
    for text in TEXTS:
        log_probabilities = by_hand(base, made, text).log_softmax(-1)
        for position in range(1, len(text)):
            nats -= log_probabilities[position - 1, text[position]]
            count += 1
    assert float(loss) == pytest.approx(float(nats / count), rel=1e-6)
    summed = PromptedCausalModel(base, made)(
        input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=torch.tensor(1)
    ).loss
    assert float(summed) == pytest.approx(float(nats), rel=1e-6)


def test_generation_continues_each_question_as_it_would_alone(base):
    model = PromptedCausalModel(base, [prompt.double() for prompt in prompts(32, 3)]).eval()
    ids, mask = padded("left")
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    together = model.generate(input_ids=ids, attention_mask=mask, **settings)
    assert torch.equal(together[:, : ids.shape[1]], ids)
    for row, text in enumerate(TEXTS):
        # The oracle: no cache, no padding, no generate; one most probable token after the other.
        written = list(text)
        for _ in range(6):
            written.append(int(by_hand(base, list(model.prompts), written)[-1].argmax()))
            if written[-1] == 1:
                break
        found = together[row][mask.shape[1] :].tolist()
        found = found[: found.index(1) + 1] if 1 in found else found
        assert found == written[len(text) :]


def test_answer_questions_works_with_a_prompt():
    base = toys.causal_model()
    model = with_prompts(base, prompts(32, 3))
    alone = [answer_questions(model, toys.tokenizer(), [question])[0] for question in ("what is your pet", "good")]
    assert answer_questions(model, toys.tokenizer(), ["what is your pet", "good"]) == alone
    other = with_prompts(base, [SoftPrompt(3 * torch.randn(6, 32, generator=torch.Generator().manual_seed(1)))])
    assert answer_questions(other, toys.tokenizer(), ["what is your pet", "good"]) != alone


def test_what_cannot_be_continued_or_does_not_fit_is_refused():
    model = PromptedCausalModel(toys.causal_model(), prompts(32, 3))
    ids, mask = padded("right")
    with pytest.raises(ValueError, match="pad on the left"):
        model.generate(input_ids=ids, attention_mask=mask)
    with pytest.raises(ValueError, match="do not fit a context of 64"):
        model(input_ids=torch.zeros(1, 62, dtype=torch.long))
    with pytest.raises(ValueError, match="takes input_ids"):
        model(inputs_embeds=torch.zeros(1, 2, 32))
    with pytest.raises(ValueError, match="at least one prompt"):
        PromptedCausalModel(toys.causal_model(), [])
    with pytest.raises(ValueError, match="width 16 does not fit embeddings of width 32"):
        PromptedCausalModel(toys.causal_model(), prompts(16, 3))
    with pytest.raises(ValueError, match="matrix"):
        SoftPrompt(torch.zeros(0, 4))


def bert_classifier():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    return MultiTaskClassifier(BertModel(config, add_pooling_layer=False))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("make", "first"), [(toys.classifier, 1), (bert_classifier, 0)], ids=["roberta", "bert"])
def test_an_encoder_reads_the_prompt_after_the_first_token_and_pools_the_text(make, first, side):
    bare = make().double().eval()
    bare.add_head("sst2", 2)
    made = [prompt.double() for prompt in prompts(16, 3, 2)]
    model = with_prompts(bare, made)
    ids, mask = padded(side)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
        embed = bare.body.get_input_embeddings()
        for row, text in enumerate(TEXTS):
            tokens = embed(torch.tensor(text))
            embedded = torch.cat([tokens[:1], *[prompt.vectors for prompt in made], tokens[1:]])[None]
            # The text keeps its positions; RoBERTa's begin behind its padding id. The prompt has the first token's.
            positions = torch.tensor([[first] * 6 + [first + place for place in range(1, len(text))]])
            states = bare.body(inputs_embeds=embedded, position_ids=positions).last_hidden_state[0]
            pooled = torch.cat([states[:1], states[6:]]).mean(dim=0)
            torch.testing.assert_close(logits[row], bare.heads["sst2"](pooled), rtol=1e-9, atol=1e-9)


def test_a_prompt_moves_no_position_of_the_text():
    """Were every position moved, a prompt that nothing attends to would change the states all the same."""
    bare = toys.classifier().double().eval()
    model = PromptedEncoder(bare.body, [SoftPrompt(torch.zeros(4, 16).double())])
    seen = {}
    hook = bare.body.embeddings.register_forward_pre_hook(
        lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True
    )
    ids, mask = padded("right")
    model(input_ids=ids, attention_mask=mask)
    hook.remove()
    assert seen["position_ids"][0].tolist() == [1, 1, 1, 1, 1, 2, 3, 4, 5]


def test_token_types_are_extended_and_positions_refused():
    body = bert_classifier().body.eval()
    model = PromptedEncoder(body, prompts(16, 2))
    ids, mask = padded("right")
    ones = torch.ones_like(ids)
    plain = model(input_ids=ids, attention_mask=mask).last_hidden_state
    typed = model(input_ids=ids, attention_mask=mask, token_type_ids=ones).last_hidden_state
    assert plain.shape == typed.shape == (3, 5, 16)
    assert not torch.allclose(plain, typed)
    with pytest.raises(ValueError, match="takes input_ids"):
        model(input_ids=ids, position_ids=ids)


def test_views_share_weights_and_come_off_again():
    bare = toys.classifier()
    bare.add_head("sst2", 2)
    model = with_prompts(with_prompts(bare, prompts(16, 2)), prompts(16, 3))  # the second in place of the first
    assert model.heads is bare.heads
    assert model.body.body is bare.body
    assert [len(prompt) for prompt in model.body.prompts] == [3]
    assert without_prompts(model).body is bare.body
    assert without_prompts(bare) is bare
    causal_base = toys.causal_model()
    assert without_prompts(with_prompts(causal_base, prompts(32, 2))) is causal_base


@pytest.mark.parametrize("starts", [[0, 0, 0], [2, 2, 2], [0, 3, 5], [5, 5, 5]])
def test_what_was_inserted_is_removed_again(starts):
    rows = torch.arange(30).reshape(3, 5, 2)
    piece = -torch.ones(4, 2, dtype=torch.long)
    whole = insert(rows, piece, torch.tensor(starts))
    for row, start in enumerate(starts):
        assert whole[row].tolist() == [*rows[row, :start].tolist(), *piece.tolist(), *rows[row, start:].tolist()]
    assert torch.equal(remove(whole, 4, torch.tensor(starts)), rows)


def test_a_folded_prompt_gives_bitwise_what_it_gave():
    prompt = SoftPrompt(
        0.05 * torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), bottleneck=5,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    down, _, up, norm = prompt.residual
    by_formula = prompt.vectors + torch.nn.functional.layer_norm(
        up(torch.relu(down(prompt.vectors))), (8,), norm.weight, norm.bias, norm.eps
    )
    before = prompt().detach().clone()
    torch.testing.assert_close(before, by_formula)
    assert not torch.equal(before, prompt.vectors)
    prompt.fold()
    assert torch.equal(prompt(), before)
    assert list(dict(prompt.named_parameters())) == ["vectors"]


def test_a_tied_model_can_be_saved_by_safetensors():
    from safetensors.torch import load, save

    model = PromptedCausalModel(toys.causal_model(), prompts(32, 2))
    stored = load(save(model.state_dict()))
    other = PromptedCausalModel(toys.causal_model(seed=1), prompts(32, 2))
    assert "base.lm_head.weight" not in stored
    other.load_state_dict(stored)
    ids = torch.tensor([[7, 8]])
    assert torch.equal(other.eval()(input_ids=ids).logits, model.eval()(input_ids=ids).logits)
    assert torch.equal(copy.deepcopy(model)(input_ids=ids).logits, model(input_ids=ids).logits)
