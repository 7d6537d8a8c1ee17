"""Repetition and distinct n-grams of replies, counted by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfhelpers.evaluation import coherence


def test_distinct_counts_over_all_replies_together():
    # bigrams: i-like like-blue | I-like like-green  -> 3 different of 4
    assert coherence.distinct(["i like blue", "I like green"], n=2) == pytest.approx(3 / 4)
    assert coherence.distinct(["i like blue", "I like green"], n=1) == pytest.approx(4 / 6)


def test_repetition_counts_within_each_reply():
    # a-b b-a a-b b-a: 2 different of 4; the other reply repeats nothing, and neither repeats the other
    assert coherence.repetition(["a b a b a", "a b c"], n=2) == pytest.approx((1 / 2 + 0) / 2)
    assert coherence.repetition(["a b c", "a b c"], n=2) == 0


def test_replies_too_short_for_an_n_gram_do_not_count():
    assert coherence.repetition(["a", "b b b"], n=2) == pytest.approx(1 / 2)
    assert math.isnan(coherence.repetition(["", "a"], n=2))
    assert math.isnan(coherence.distinct([], n=2))


@pytest.mark.parametrize("measure", [coherence.distinct, coherence.repetition])
def test_bad_input_is_refused(measure):
    with pytest.raises(ValueError, match="not one string"):
        measure("i like blue")
    with pytest.raises(ValueError, match="at least one word"):
        measure(["i like blue"], n=0)


@given(st.lists(st.text("ab ", min_size=0, max_size=30), max_size=5), st.integers(1, 4))
def test_shares_stay_in_their_range(replies, n):
    distinct, repetition = coherence.distinct(replies, n), coherence.repetition(replies, n)
    assert math.isnan(distinct) or 0 < distinct <= 1
    assert math.isnan(repetition) or 0 <= repetition < 1
