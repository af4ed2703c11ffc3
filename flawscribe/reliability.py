"""How far probabilities can be believed: the reliability diagram's bins, and its summaries in one number."""

from dataclasses import dataclass

import numpy as np

from flawscribe.statistics import share

BINS = 10
"""Equal bins of [0, 1]; a probability on an edge is in the upper one."""
EPSILON = 1e-6
"""Probabilities are taken to be at least so far from 0 and 1 where their logarithm is needed."""


@dataclass(frozen=True)
class Bin:
    """The images with a probability from `low` to `high`: their number, the mean of their probabilities, and the
    share of them that is positive with its 95 % Wilson interval; all three None in an empty bin."""

    low: float
    high: float
    n: int
    mean: float | None = None
    positive: float | None = None
    positive_low: float | None = None
    positive_high: float | None = None


def bins(labels: np.ndarray, p: np.ndarray) -> list[Bin]:
    """The reliability diagram of float (n,) probabilities `p` in [0, 1] for bool (n,) labels: ten bins."""
    at = _bin(p)
    found = []
    for i in range(BINS):
        there = at == i
        low, high, n = i / BINS, (i + 1) / BINS, int(there.sum())
        if not n:
            found.append(Bin(low, high, 0))
            continue
        told = share(int(labels[there].sum()), n)
        found.append(Bin(low, high, n, float(p[there].mean()), told.value, told.low, told.high))
    return found


def ece(labels: np.ndarray, p: np.ndarray) -> float:
    """The expected calibration error in [0, 1]: |share of positives - mean probability|, over bins weighed by their n.

    Of P(positive) in ten equal bins (Naeini et al. 2015; Guo et al. 2017 take the top class's). It is above 0 by
    chance alone, the more so the fewer images there are.
    """
    gap = np.bincount(_bin(p), weights=labels.astype(float) - p, minlength=BINS)
    return float(np.abs(gap).sum() / len(p))


def brier(labels: np.ndarray, p: np.ndarray) -> float:
    """The mean of (probability - label)², in [0, 1] (Brier 1950)."""
    return float(np.mean((p - labels.astype(float)) ** 2))


def nll(labels: np.ndarray, p: np.ndarray) -> float:
    """The mean negative log-likelihood of the labels in nats; probabilities are kept EPSILON from 0 and 1."""
    kept = np.clip(p, EPSILON, 1 - EPSILON)
    return float(-np.mean(np.where(labels > 0.5, np.log(kept), np.log1p(-kept))))


def _bin(p: np.ndarray) -> np.ndarray:
    return np.minimum((p * BINS).astype(int), BINS - 1)
