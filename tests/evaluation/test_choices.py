"""Multiple choice by the mean log-probability of the answer's tokens."""

import pytest
import torch

from cfhelpers.evaluation import choose_answers
from cfhelpers.tasks.encoding import encode_dialogue
from tests import toys


def test_the_choice_is_the_option_with_the_highest_mean_log_probability():
    model, tokenizer = toys.causal_model(), toys.tokenizer()
    questions = ["what is your color", "what is your pet", "good"]
    options = [["blue", "red sam", "two"], ["ann sam rex", "rex"], ["bad", "good good bad good", "floor", "boss"]]
    expected, exact = [], toys.causal_model().double().eval()
    for question, answers in zip(questions, options, strict=True):
        means = []
        for answer in answers:
            ids, labels = encode_dialogue(tokenizer, question, answer)
            with torch.no_grad():
                log_p = exact(torch.tensor([ids])).logits[0].log_softmax(-1)
            own = [float(log_p[t - 1, ids[t]]) for t in range(1, len(ids)) if labels[t] != -100]
            means.append(sum(own) / len(own))
        expected.append(means.index(max(means)))
    model.train()
    assert choose_answers(model, tokenizer, questions, options) == expected
    assert model.training


def test_each_question_needs_options():
    with pytest.raises(ValueError, match="as many lists of options"):
        choose_answers(toys.causal_model(), toys.tokenizer(), ["good"], [])
    with pytest.raises(ValueError, match="as many lists of options"):
        choose_answers(toys.causal_model(), toys.tokenizer(), ["good"], [[]])
