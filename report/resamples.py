"""Bootstrap intervals over groups of rows: whole base scenes are drawn again, with all their pictures and prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flawscribe.statistics import Estimate
from report.estimates import entry, nothing

_MOST, _LEAST, _NUMBERS = 400, 100, 2_000_000


@dataclass(frozen=True)
class Figure:
    """A value, what it was in each resample (float (draws,), NaN where undefined), and its number of items."""

    value: float
    draws: np.ndarray
    n: int

    def __sub__(self, other: "Figure") -> "Figure":
        """The difference, resample by resample."""
        return Figure(self.value - other.value, self.draws - other.draws, min(self.n, other.n))

    def entry(self, failed: int = 0, why_none: str = "nothing to compare", **more: Any) -> dict[str, Any]:
        """Its entry of metrics.json, with a 95 % interval where half of the resamples define it."""
        if not np.isfinite(self.value):
            return nothing(why_none, failed, **more)
        known = self.draws[np.isfinite(self.draws)]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) >= len(self.draws) / 2 else (None, None)
        return entry(Estimate(self.value, low, high, self.n), failed, **more)


class Resamples:
    """How often each of `groups` base scenes is drawn in each resample; deterministic.

    400 resamples, fewer (at least 100) for more than 5000 base scenes. All figures of a run share them,
    so that differences have intervals too. `group` below numbers the base scene of each item, 0 … groups - 1.
    """

    def __init__(self, groups: int) -> None:
        draws = max(_LEAST, min(_MOST, _NUMBERS // max(1, groups)))
        rng = np.random.default_rng(0)
        self._times = np.empty((draws, groups), dtype=np.float32)
        for i in range(draws):
            self._times[i] = np.bincount(rng.integers(0, max(1, groups), groups), minlength=groups)

    def _undefined(self, value: float, n: int) -> Figure:
        return Figure(value, np.full(len(self._times), np.nan), n)

    def mean(self, group: np.ndarray, values: np.ndarray) -> Figure:
        """The mean of float (n,) values: each item weighs as often as its base scene is drawn."""
        if not len(values):
            return self._undefined(np.nan, 0)
        value = float(np.mean(values))
        there, place = np.unique(group, return_inverse=True)
        if len(there) < 2:
            return self._undefined(value, len(values))
        times = self._times[:, there].astype(np.float64)
        with np.errstate(invalid="ignore"):
            draws = (times @ np.bincount(place, values)) / (times @ np.bincount(place))
        return Figure(value, draws, len(values))

    def auc(self, group: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> Figure:
        """Area under the ROC curve of float (n,) scores for bool (n,) labels, ties half."""
        if labels.all() or not labels.any():
            return self._undefined(np.nan, 0)
        lower, upper = _order(scores[labels], scores[~labels])
        value = _auc(lower, upper, np.ones(len(lower)), np.ones(len(labels) - len(lower)))
        if len(np.unique(group)) < 2:
            return self._undefined(value, len(labels))
        # The negatives in the order of their scores: how many lie below a positive is then a running sum.
        negative = np.argsort(scores[~labels], kind="stable")
        above, below = group[labels], group[~labels][negative]
        draws = np.array([_auc(lower, upper, times[above], times[below]) for times in self._times])
        return Figure(value, draws, len(labels))

    def mean_of(self, figures: Sequence[Figure], n: int) -> Figure:
        """The mean over those figures that are defined; a resample counts where all of these are.

        A resample's mean over fewer of them would be of something else than the value.
        """
        known = [f for f in figures if np.isfinite(f.value)]
        if not known:
            return self._undefined(np.nan, 0)
        return Figure(float(np.mean([f.value for f in known])), np.mean([f.draws for f in known], axis=0), n)


def _order(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many negative scores lie below each positive one, and how many do or are equal."""
    ordered = np.sort(negative)
    return np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")


def _auc(lower: np.ndarray, upper: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Weighted AUC: `positive` are the weights of those rows, `negative` of the others in the order of their scores."""
    sums = np.concatenate(([0.0], np.cumsum(negative, dtype=np.float64)))
    pairs = positive.sum(dtype=np.float64) * sums[-1]
    return float(positive @ (sums[lower] + sums[upper]) / 2 / pairs) if pairs else float("nan")
