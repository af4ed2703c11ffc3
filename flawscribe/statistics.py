"""Numbers with their uncertainty: bootstrap percentile intervals over scipy's and scikit-learn's estimators."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
_HELD = 2_000_000  # numbers that a resampling holds at once


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval [low, high] over n items; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap(
    statistic: Callable[..., float],
    *arrays: Sequence[float] | np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """`statistic(*arrays)` with a percentile interval over `resamples` paired resamples of the items.

    A statistic that is undefined on the data (NaN, or ValueError) is an Estimate without a value;
    resamples on which it is undefined are left out, and with fewer than half of them defined, or fewer
    than two items, there is no interval. Deterministic for a seed.
    """
    data = [np.asarray(a, dtype=float) for a in arrays]
    n = len(data[0])
    if any(len(a) != n for a in data):
        raise ValueError("arrays differ in length")
    value = _defined(statistic, data) if n else None
    if value is None or n < 2:
        return Estimate(value, None, None, n)
    rng = np.random.default_rng(seed)
    picks = (rng.integers(0, n, n) for _ in range(resamples))
    drawn = (_defined(statistic, [a[i] for a in data]) for i in picks)
    values = [v for v in drawn if v is not None]
    if len(values) < resamples / 2:
        return Estimate(value, None, None, n)
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(value, float(low), float(high), n)


def mean(values: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """The arithmetic mean."""
    return bootstrap(np.mean, values, seed=seed)


def share(hits: int, n: int) -> Estimate:
    """`hits` of `n` as a share, with Wilson's interval: unlike a bootstrap's it is no point where all or none hit."""
    if not n:
        return Estimate(None, None, None, 0)
    from scipy.stats import binomtest

    told = binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, float(told.low), float(told.high), n)


def auc(
    labels: Sequence[float] | np.ndarray, scores: Sequence[float] | np.ndarray, seed: int = 0
) -> Estimate:
    """Area under the ROC curve, ties counted half; undefined where one class is absent."""
    return bootstrap(_auc, labels, scores, seed=seed)


def srcc(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Spearman's rank correlation; undefined where either side is constant."""
    from scipy.stats import spearmanr

    return bootstrap(lambda a, b: spearmanr(a, b).statistic, x, y, seed=seed)


def plcc(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Pearson's linear correlation; undefined where either side is constant."""
    from scipy.stats import pearsonr

    return bootstrap(lambda a, b: pearsonr(a, b).statistic, x, y, seed=seed)


def f1(
    labels: Sequence[float] | np.ndarray, answers: Sequence[float] | np.ndarray, seed: int = 0
) -> Estimate:
    """F1 of the positive class for 0/1 labels and answers; undefined where neither has a positive."""
    return bootstrap(_f1, labels, answers, seed=seed)


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    # By ranks, as scikit-learn's roc_auc_score gives it, but quick enough for a thousand resamples.
    from scipy.stats import rankdata

    positive = labels > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        return math.nan
    return (float(rankdata(scores)[positive].sum()) - p * (p + 1) / 2) / (p * n)


def _f1(labels: np.ndarray, answers: np.ndarray) -> float:
    total = labels.sum() + answers.sum()
    return float(2 * (labels * answers).sum() / total) if total else math.nan


def _defined(statistic: Callable[..., float], data: list[np.ndarray]) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(statistic(*data))
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def resampled_sums(columns: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Sums of float (n, k) columns over each of `resamples` resamples of the n items: float (resamples, k).

    For figures that are functions of sums (means, ratios of sums): items are drawn whole, numerators with their
    denominators. The same draws as `bootstrap`'s for a seed, at a fraction of its time.
    """
    n = len(columns)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, columns.shape[1]))
    step = max(1, _HELD // max(1, n))
    for start in range(0, resamples, step):
        drawn = rng.integers(0, n, (min(step, resamples - start), n))
        rows = np.arange(len(drawn))[:, None] * n
        times = np.bincount((drawn + rows).ravel(), minlength=drawn.size).reshape(drawn.shape)
        sums[start : start + len(drawn)] = times.astype(float) @ columns
    return sums


def of_draws(value: float, draws: np.ndarray, n: int) -> Estimate:
    """A value over n items with the percentile interval of its resamples; NaN is undefined, as in `bootstrap`."""
    if not math.isfinite(value):
        return Estimate(None, None, None, n)
    known = draws[np.isfinite(draws)]
    if n < 2 or len(known) < len(draws) / 2:
        return Estimate(float(value), None, None, n)
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high), n)
