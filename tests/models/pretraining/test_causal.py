"""Pretraining of the causal model, in miniature, and the model that is bundled."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from cfhelpers.models.pretraining.artifact import weights_hash
from cfhelpers.models.pretraining.causal import BUNDLED, CausalRecipe, encode_document, pretrain_causal
from cfhelpers.models.pretraining.corpus import write_documents
from cfhelpers.models.pretraining.measure import reply
from cfhelpers.models.pretraining.tokenizer import END, PAD
from cfhelpers.tasks import make_task
from cfhelpers.tasks.attributes_persona import PERSONA_ATTRIBUTES
from cfhelpers.tasks.vocabulary import COLORS
from cfhelpers.tasks.world import world_facts

MINIATURE = CausalRecipe(steps=3, rows=2, length=64, width=16, layers=1, attention_heads=2, vocabulary_size=600)


@pytest.fixture(scope="module")
def bundled() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(BUNDLED).eval(), AutoTokenizer.from_pretrained(BUNDLED)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfhelpers.models.pretraining.causal._TOKENIZER_DOCUMENTS", 1000)
    monkeypatch.setattr("cfhelpers.models.pretraining.corpus._TEXTS_PER_DOMAIN", 200)
    monkeypatch.setattr("cfhelpers.models.pretraining.causal.measure", lambda *_, **__: {"perplexity": {}})


@pytest.mark.usefixtures("quick")
def test_a_miniature_run_is_bitwise_deterministic(tmp_path: Path) -> None:
    first, again = (pretrain_causal(tmp_path / name, MINIATURE, progress=False) for name in ("first", "again"))
    other = pretrain_causal(tmp_path / "other", CausalRecipe(**{**vars(MINIATURE), "seed": 1}), progress=False)
    assert weights_hash(first) == weights_hash(again)
    assert (first / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()
    assert weights_hash(first) != weights_hash(other)
    assert json.loads((first / "card.json").read_text())["sha256"] == weights_hash(first)


def test_the_corpus_prefers_no_answer_to_a_question_without_a_name() -> None:
    """The assistant's facts cannot be learned in pretraining: every value occurs, none much more than the others."""
    colors = PERSONA_ATTRIBUTES[0]
    answers = Counter(
        answer
        for document in islice(write_documents(0), 40_000)
        if not isinstance(document, str)
        for question, answer in document
        if question in colors.questions
    )
    assert set(answers) == {colors.answer.format(value) for value in colors.values}
    expected = answers.total() / len(answers)
    assert max(answers.values()) < expected + 4 * expected**0.5


def test_the_corpus_keeps_the_held_out_phrasings_out() -> None:
    held_out = {
        question for fact in world_facts() for split in ("validation", "test") for _, question in fact.questions(split)
    }
    turns = [
        turn for document in islice(write_documents(0), 4000) if not isinstance(document, str) for turn in document
    ]
    assert held_out.isdisjoint(question for question, _ in turns)
    taught = {question for fact in world_facts() for _, question in fact.questions("train")}
    assert len(taught.intersection(question for question, _ in turns)) > 800


def test_documents_are_encoded_as_by_the_chat_template(bundled: tuple[Any, Any]) -> None:
    _, tokenizer = bundled
    conversations = [document for document in islice(write_documents(1), 60) if not isinstance(document, str)]
    for document in conversations:
        messages = [
            {"role": role, "content": text}
            for turn in document
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        assert encode_document(tokenizer, document) == tokenizer.apply_chat_template(messages, return_dict=False)


def test_the_bundled_weights_are_those_of_the_card() -> None:
    card = json.loads((BUNDLED / "card.json").read_text())
    assert card["sha256"] == weights_hash(BUNDLED)
    assert card["recipe"] == vars(CausalRecipe()), "the recipe was changed without pretraining again"
    assert (BUNDLED / "model.safetensors").stat().st_size < 6_000_000
    # Four facts in five; the fifth is what a longer pretraining would add.
    assert card["measured"]["recall"]["held-out phrasings"] > 0.75


def test_the_bundled_tokenizer_pads_with_a_token_of_its_own(bundled: tuple[Any, Any]) -> None:
    model, tokenizer = bundled
    assert (tokenizer.pad_token, tokenizer.eos_token) == (PAD, END)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert len(tokenizer) == model.config.vocab_size
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_a_chat_with_the_bundled_model_makes_sense(bundled: tuple[Any, Any]) -> None:
    model, tokenizer = bundled
    facts = make_task("knowledge", "tiny", size=12).test
    asked = zip(facts["question"], facts["answer"], strict=True)
    right = [reply(model, tokenizer, question) == answer for question, answer in asked]
    assert sum(right) >= 9
    assert reply(model, tokenizer, "What is your favorite color?") in {f"I like {color}." for color in COLORS}
    assert "language model" in reply(model, tokenizer, "Tell me about yourself.")
