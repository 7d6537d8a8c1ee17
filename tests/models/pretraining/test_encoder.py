"""The encoder's pretraining: deterministic in miniature, and the bundled one is the one its card describes."""

from __future__ import annotations

import json
from itertools import islice

import pytest
import torch

from cfhelpers.models.pretraining.artifact import weights_hash
from cfhelpers.models.pretraining.encoder import BUNDLED, EncoderRecipe, new_model, pretrain_encoder, train_tokenizer
from cfhelpers.models.pretraining.encoder_corpus import write_documents
from cfhelpers.models.pretraining.encoder_measure import Budget, fill_mask_accuracy, learn
from cfhelpers.models.pretraining.encoder_start import pointwise_mutual_information, start_from_counts

MINIATURE = EncoderRecipe(steps=3, rows=4, width=16, layers=1, attention_heads=2, counted_documents=200)


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads((BUNDLED / "card.json").read_text())


def test_a_miniature_run_is_bitwise_deterministic(tmp_path, monkeypatch):
    monkeypatch.setattr("cfhelpers.models.pretraining.encoder.measure", lambda folder: {})
    hashes = []
    for name in ("first", "second"):
        torch.manual_seed(torch.randint(0, 1000, ()).item())  # what was drawn before must not matter
        hashes.append(weights_hash(pretrain_encoder(tmp_path / name, MINIATURE, progress=False)))
    assert hashes[0] == hashes[1]


def test_the_bundled_weights_are_those_of_the_card(card):
    assert weights_hash(BUNDLED) == card["sha256"]
    assert EncoderRecipe(**card["recipe"]) == EncoderRecipe()


def test_fine_tuning_the_bundled_encoder_beats_random_weights_by_far(card):
    budget = Budget(**card["measured"]["fine-tuning"]["budget"])
    scores = card["measured"]["fine-tuning"]["test accuracy"]["sst2"]
    assert min(scores["pretrained"]) > max(scores["random"]) + 0.2
    assert learn("sst2", BUNDLED, 0, budget, pretrained=True) == pytest.approx(scores["pretrained"][0], abs=0.05)


def test_the_bundled_encoder_fills_masks_as_its_card_says(card):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(BUNDLED, dtype=torch.float32)
    accuracy = fill_mask_accuracy(model, AutoTokenizer.from_pretrained(BUNDLED), documents=40)
    assert accuracy == pytest.approx(card["measured"]["fill-mask accuracy"], abs=0.05)


def test_mutual_information_of_two_tokens_is_the_logarithm_of_their_lift():
    information, known = pointwise_mutual_information([[1, 2], [1, 2], [1, 3], [4, 3]], 6, special_tokens=1)
    # Ordered pairs: 8 in all; (1, 2) twice, token 1 in 3 of them, token 2 in 2.
    assert float(information[1, 2]) == pytest.approx(float(torch.tensor(2 * 8 / (3 * 2)).log()))
    assert known.tolist() == [False, True, True, True, True, False]


def test_words_that_occur_together_start_close_together():
    documents = list(islice(write_documents(0), 2000))
    recipe = EncoderRecipe(width=32, layers=1, attention_heads=2)
    tokenizer = train_tokenizer((text for texts in documents for text in texts), recipe)
    model = new_model(recipe, len(tokenizer))
    start_from_counts(model, [tokenizer(*texts)["input_ids"] for texts in documents], special_tokens=4)
    vectors = model.roberta.embeddings.word_embeddings.weight.detach()

    def likeness(one: str, other: str) -> float:
        first, second = (vectors[tokenizer(word, add_special_tokens=False)["input_ids"][0]] for word in (one, other))
        return float(torch.cosine_similarity(first, second, dim=0))

    assert likeness("gripping", "superb") > likeness("gripping", "tedious")
    assert likeness("tedious", "awful") > likeness("tedious", "superb")
