"""Measure a pretrained causal model: perplexity on unseen texts, recall of facts in unseen phrasings."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from cfhelpers.tasks.domain_rules import DOMAIN_RULES
from cfhelpers.tasks.domains import make as make_domain
from cfhelpers.tasks.domains import perplexity_floor
from cfhelpers.tasks.small_talk import SMALL_TALK
from cfhelpers.tasks.world import world_facts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_FACTS_ASKED = 200
_LONGEST_REPLY = 24


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> dict[str, object]:
    """Return perplexity by domain, next to the grammar's own floor, and recall by form of the question.

    Perplexity is of single texts under the end token's context, exp(total nats / total tokens).
    """
    facts = random.Random(f"measure {seed}").sample(world_facts(), min(_FACTS_ASKED, len(world_facts())))
    held_out = [(question, {fact.answer}) for fact in facts for _, question in fact.questions("test")]
    seen = [(next(fact.questions("train"))[1], {fact.answer}) for fact in facts]
    about = [(fact.third_question, {fact.statement}) for fact in facts]
    talk = [(question, set(answers)) for questions, answers in SMALL_TALK for question in questions]
    asked = {"held-out phrasings": held_out, "seen phrasings": seen, "about people": about, "small talk": talk}
    return {
        "perplexity": {name: round(_perplexity(model, tokenizer, name), 2) for name in DOMAIN_RULES},
        "perplexity floor": {
            name: round(perplexity_floor(make_domain(name, "tiny", seed=1000).test, tokenizer), 2)
            for name in DOMAIN_RULES
        },
        "recall": {name: round(_recall(model, tokenizer, pairs), 3) for name, pairs in asked.items()},
    }


def reply(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, question: str) -> str:
    """Return the model's greedy answer to one question."""
    prompt = list(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
    )
    input_ids = torch.tensor([prompt])
    with torch.inference_mode():
        written = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            max_new_tokens=_LONGEST_REPLY,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True)).strip()


def _recall(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, set[str]]]) -> float:
    return sum(reply(model, tokenizer, question) in answers for question, answers in pairs) / len(pairs)


def _perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str) -> float:
    # Texts of another seed than the corpus; the grammar is the same, and the texts are new but for chance.
    nats, tokens = 0.0, 0
    for text in make_domain(name, "tiny", seed=1000).test["text"]:
        ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        input_ids = torch.tensor([ids])
        with torch.inference_mode():
            nats += model(input_ids=input_ids, labels=input_ids).loss.item() * (len(ids) - 1)
        tokens += len(ids) - 1
    return math.exp(nats / tokens)
