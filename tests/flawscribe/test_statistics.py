"""Estimates against scikit-learn's and scipy's numbers, and intervals against what theory says of them."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from flawscribe import statistics
from flawscribe.statistics import Estimate

RNG = np.random.default_rng(1)
LABELS = RNG.random(200) < 0.4
SCORES = np.round(LABELS * 0.5 + RNG.normal(size=200), 1)  # rounded: with ties
OTHER = SCORES + RNG.normal(size=200)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2, max_size=30))
def test_auc_and_f1_are_scikit_learns(pairs: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    auc = statistics.bootstrap(statistics._auc, labels, scores, resamples=2).value
    if labels.all() or not labels.any():
        assert auc is None
    else:
        assert auc == pytest.approx(roc_auc_score(labels, scores))
    f1 = statistics.bootstrap(statistics._f1, labels, scores > 1, resamples=2).value
    if labels.any() or (scores > 1).any():
        assert f1 == pytest.approx(f1_score(labels, scores > 1))
    else:
        assert f1 is None


def test_correlations_are_scipys() -> None:
    assert statistics.srcc(SCORES, OTHER).value == pytest.approx(stats.spearmanr(SCORES, OTHER).statistic)
    assert statistics.plcc(SCORES, OTHER).value == pytest.approx(stats.pearsonr(SCORES, OTHER).statistic)


@pytest.mark.parametrize(
    "estimate",
    [
        statistics.mean(SCORES),
        statistics.auc(LABELS, SCORES),
        statistics.f1(LABELS, SCORES > 0.3),
        statistics.srcc(SCORES, OTHER),
        statistics.plcc(SCORES, OTHER),
    ],
    ids=["mean", "auc", "f1", "srcc", "plcc"],
)
def test_every_estimate_lies_in_its_interval_and_says_its_n(estimate: Estimate) -> None:
    assert estimate.n == 200
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high


def test_the_interval_of_a_mean_is_the_one_theory_gives() -> None:
    values = np.random.default_rng(2).normal(3, 2, 400)
    estimate = statistics.mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.03)


def test_intervals_are_reproducible_and_depend_on_the_seed() -> None:
    assert statistics.auc(LABELS, SCORES) == statistics.auc(LABELS, SCORES)
    assert statistics.mean(SCORES, seed=0) != statistics.mean(SCORES, seed=1)


def test_arrays_are_resampled_in_pairs() -> None:
    assert statistics.plcc(SCORES, 2 * SCORES + 1).low == pytest.approx(1)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (statistics.mean([]), Estimate(None, None, None, 0)),
        (statistics.mean([2.0]), Estimate(2.0, None, None, 1)),
        (statistics.mean([2.0, 2.0]), Estimate(2.0, 2.0, 2.0, 2)),
        (statistics.auc([True, True], [0.1, 0.2]), Estimate(None, None, None, 2)),
        (statistics.f1([False, False], [False, False]), Estimate(None, None, None, 2)),
        (statistics.srcc([1, 1, 1], [1, 2, 3]), Estimate(None, None, None, 3)),
        (statistics.plcc([1.0], [2.0]), Estimate(None, None, None, 1)),
    ],
)
def test_what_is_not_defined_is_none_and_never_a_number(estimate: Estimate, expected: Estimate) -> None:
    assert estimate == expected


def test_a_statistic_that_is_seldom_defined_has_no_interval() -> None:
    labels = [True] + [False] * 2  # most resamples of three lack a class … or not
    estimate = statistics.auc(labels, [0.9, 0.1, 0.2])
    assert estimate.value == 1
    seldom = statistics.bootstrap(lambda a: 1.0 if len(set(a.tolist())) == len(a) else math.nan, np.arange(9))
    assert seldom == Estimate(1.0, None, None, 9)


def test_arrays_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="length"):
        statistics.auc([True, False], [0.1])


def test_a_long_array_is_resampled_without_a_matrix() -> None:
    values = np.zeros(100_000)
    tracemalloc.start()
    try:
        statistics.bootstrap(np.mean, values, resamples=50)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
