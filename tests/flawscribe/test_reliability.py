"""The bins and summaries of reliability, against scikit-learn's and against sums by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, log_loss

from flawscribe.reliability import bins, brier, ece, nll
from flawscribe.statistics import share

RNG = np.random.default_rng(2)
P = RNG.random(500)
LABELS = RNG.random(500) < P**2


def test_brier_and_likelihood_are_scikit_learns() -> None:
    assert brier(LABELS, P) == pytest.approx(brier_score_loss(LABELS, P))
    assert nll(LABELS, P) == pytest.approx(log_loss(LABELS, P))
    assert np.isfinite(nll(np.array([True, False]), np.array([0.0, 1.0])))


def test_the_error_is_the_bins_gap_weighed_by_their_images() -> None:
    drawn = bins(LABELS, P)
    by_hand = sum(
        b.n / 500 * abs(b.mean - b.positive) for b in drawn if b.mean is not None and b.positive is not None
    )
    assert ece(LABELS, P) == pytest.approx(by_hand) and sum(b.n for b in drawn) == 500


def test_bins_hold_their_edges_and_empty_ones_say_nothing() -> None:
    drawn = bins(np.array([False, True, True]), np.array([0.0, 0.1, 1.0]))
    assert [b.n for b in drawn] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert drawn[2].mean is None and drawn[2].positive_low is None and drawn[9].positive == 1


def test_a_share_of_all_has_an_interval() -> None:
    found, told = share(20, 20), binomtest(20, 20).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == (1, told.low, told.high) and found.low < 0.9
    assert share(0, 0).value is None
