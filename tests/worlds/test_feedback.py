"""A loop in which a model learns from its own words: shares, draws and the prediction."""

import math

import numpy as np
import pytest
import torch

from cfhelpers.worlds.feedback import TwoEndings, next_share
from tests import toys

PROMPTS, ENDINGS = ("what is", "your pet is"), (" blue", " red")


@pytest.fixture
def sentences():
    return TwoEndings(toys.tokenizer(), PROMPTS, ENDINGS)


def test_a_share_is_the_first_endings_part_of_both_probabilities(sentences):
    model, tokenizer = toys.causal_model().train(), toys.tokenizer()
    shares = sentences.share(model, temperature=0.5)
    assert model.training
    model.eval()
    for share, prompt in zip(shares, PROMPTS, strict=True):  # one by one, so without padding
        logits = model(input_ids=torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1].detach()
        blue, red = (math.exp(logits[tokenizer.convert_tokens_to_ids(word.strip())] / 0.5) for word in ENDINGS)
        assert float(share) == pytest.approx(blue / (blue + red), rel=1e-4)


def test_what_is_taught_comes_out(sentences):
    model = toys.causal_model().eval()
    sentences.teach(model, torch.tensor([1.0, 0.0]), steps=40, learning_rate=0.02, seed=0)
    first, second = sentences.share(model).tolist()
    assert first > 0.95
    assert second < 0.05
    sentences.teach(model, 0.5, steps=60, batch_size=64, learning_rate=0.01, seed=1)
    assert np.allclose(sentences.share(model), 0.5, atol=0.15)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_endings_are_drawn_with_their_sentences_share_and_only_they_are_targets(sentences):
    batch = sentences._draw(torch.tensor([0.9, 0.2]), 4000, torch.Generator().manual_seed(0))
    tokenizer = toys.tokenizer()
    blue, red = (tokenizer.convert_tokens_to_ids(word.strip()) for word in ENDINGS)
    targets = batch["labels"] != -100
    assert targets.sum(dim=1).tolist() == [1] * 4000
    said = batch["labels"][targets]
    assert set(said.tolist()) == {blue, red}
    of_second = batch["attention_mask"].sum(dim=1) == 4
    assert float((said[~of_second] == blue).double().mean()) == pytest.approx(0.9, abs=0.02)
    assert float((said[of_second] == blue).double().mean()) == pytest.approx(0.2, abs=0.03)


def test_a_seed_gives_the_same_lesson_again(sentences):
    shares = []
    for seed in (3, 3, 4):
        model = toys.causal_model().eval()
        sentences.teach(model, 0.7, steps=3, learning_rate=0.01, seed=seed)
        shares.append(sentences.share(model))
    assert torch.equal(shares[0], shares[1])
    assert not torch.equal(shares[0], shares[2])


def test_bad_input_is_refused(sentences):
    model = toys.causal_model()
    with pytest.raises(ValueError, match="temperature must be positive"):
        sentences.share(model, temperature=0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        sentences.teach(model, 1.5, steps=1, learning_rate=0.1, seed=0)
    with pytest.raises(ValueError, match="steps be at least 1"):
        sentences.teach(model, 0.5, steps=0, learning_rate=0.1, seed=0)
    with pytest.raises(ValueError, match="do not begin with two tokens"):
        TwoEndings(toys.tokenizer(), PROMPTS, (" blue", " blue red"))


def test_the_prediction():
    assert next_share(0.7, 1.0) == pytest.approx(0.7)
    assert next_share(0.7, 0.5) == pytest.approx(0.49 / (0.49 + 0.09))
    assert next_share(0.3, 0.5) == pytest.approx(1 - next_share(0.7, 0.5))
    assert next_share(0.7, 2.0) == pytest.approx(0.7**0.5 / (0.7**0.5 + 0.3**0.5))
    assert (next_share(0.0, 0.5), next_share(1.0, 0.5), next_share(0.5, 0.1)) == (0.0, 1.0, 0.5)
    assert next_share(0.7, 1e-3) == pytest.approx(1.0)  # its powers are too small for a float
    for share, temperature in ((-0.1, 1.0), (1.1, 1.0), (0.5, 0.0)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            next_share(share, temperature)
