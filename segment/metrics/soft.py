"""Pixel AUROC and AP of probability maps: exactly for one image, and over many without holding their pixels.

Over many images the pixels are counted in fixed bins of their probability (bounded memory, whatever the images).
Pixels of one bin count as ties. What finer values could have given instead lies within an error bound that comes with
every figure; for maps of 8 bits no two values share a bin, and the bound only covers ties that are real.

AUROC: T. Fawcett, An introduction to ROC analysis (2006), equal to the Mann-Whitney statistic, ties half. AP: the
mean of the precision over golden pixels, Σ (R_k − R_k−1) P_k over falling thresholds, without interpolation.
"""

import numpy as np

from flawscribe.statistics import RESAMPLES, Estimate, of_draws, resampled_sums
from segment.metrics.overlaps import same_size

_OCTAVES, _STEPS = 17, 6
_SMALLEST = int(np.float32(2.0 ** -(_OCTAVES + 1)).view(np.int32)) >> (23 - _STEPS)
_HALF = _OCTAVES * 2**_STEPS + 1
BINS = 2 * _HALF + 1
"""64 bins for each halving of p below .5, and of 1 − p above, down to 2⁻¹⁸; one bin for all beyond."""
_BATCH = 32


def bins_of(soft: np.ndarray) -> np.ndarray:
    """The bin of each probability, int (h, w) in [0, BINS); never falls as the probability rises."""
    p = np.asarray(soft, dtype=np.float32)
    upper = p >= 0.5
    # The leading bits of a positive float are its logarithm, in steps: exact, monotone, and no logarithm is taken.
    nearest = np.where(upper, 1 - p, p).view(np.int32) >> (23 - _STEPS)
    step = np.clip(nearest - _SMALLEST + 1, 0, _HALF)
    return np.where(upper, BINS - 1 - step, step)


def check(soft: np.ndarray, golden: np.ndarray) -> None:
    """Raise ValueError unless `soft` is a float (h, w) map in [0, 1] and `golden` a bool mask of its size."""
    same_size(soft, golden)
    if not np.issubdtype(soft.dtype, np.floating):
        raise ValueError(f"a probability map must hold floats, not {soft.dtype}")
    if not (soft.min() >= 0 and soft.max() <= 1):  # NaN fails both
        raise ValueError("a probability map must lie in [0, 1]")
    if golden.dtype != bool:
        raise ValueError(f"a golden mask must be bool, not {golden.dtype}")


def histogram(soft: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """How many other and how many golden pixels are in each bin: int (2, BINS). ValueError as `check` raises it."""
    check(soft, golden)
    return np.bincount((bins_of(soft) + BINS * golden).ravel(), minlength=2 * BINS).reshape(2, BINS)


def pixel_auroc(soft: np.ndarray, golden: np.ndarray) -> float:
    """Exact AUROC of a float (h, w) map in [0, 1] for a bool (h, w) mask; NaN where the mask is empty or full."""
    check(soft, golden)
    return float(auroc_of(_exact(soft, golden)))


def pixel_ap(soft: np.ndarray, golden: np.ndarray) -> float:
    """Exact average precision of a float (h, w) map in [0, 1] for a bool (h, w) mask; NaN where the mask is empty."""
    check(soft, golden)
    return float(ap_of(_exact(soft, golden)))


def _exact(soft: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """The histogram (2, n) with a bin for each of the n values that occur."""
    values, place = np.unique(soft, return_inverse=True)
    return np.bincount(place.ravel() + len(values) * golden.ravel(), minlength=2 * len(values)).reshape(2, -1)


def auroc_of(histograms: np.ndarray) -> np.ndarray:
    """AUROC of (…, 2, bins) histograms of other and golden pixels: (…), NaN where either has none."""
    other, golden = (histograms[..., i, :].astype(float) for i in (0, 1))
    below = np.cumsum(other, -1) - other / 2
    with np.errstate(invalid="ignore"):
        return (golden * below).sum(-1) / (golden.sum(-1) * other.sum(-1))


def auroc_error(histogram: np.ndarray) -> float:
    """The most by which AUROC from a (2, bins) histogram can differ from the values' own: half the pairs of a bin."""
    other, golden = histogram.astype(float)
    pairs = golden.sum() * other.sum()
    return float((golden * other).sum() / pairs / 2) if pairs else float("nan")


def ap_of(histograms: np.ndarray) -> np.ndarray:
    """AP of (…, 2, bins) histograms of other and golden pixels: (…), NaN where there is no golden pixel."""
    other, golden = (histograms[..., i, ::-1].astype(float) for i in (0, 1))
    hits, misses = np.cumsum(golden, -1), np.cumsum(other, -1)
    with np.errstate(invalid="ignore"):
        precision = np.where(golden > 0, hits / (hits + misses), 0)
        return (golden * precision).sum(-1) / hits[..., -1]


def ap_error(histogram: np.ndarray) -> float:
    """The most by which AP from a (2, bins) histogram can differ from that of the values.

    Within a bin precision is highest where its golden pixels come first, all tied, and lowest where they come last, one
    by one: there Σ (T + i) / (T + F + n + i) over its p golden pixels, which the digamma function sums.
    """
    from scipy.special import digamma

    other, golden = histogram[:, ::-1].astype(float)
    total = golden.sum()
    if not total:
        return float("nan")
    hits, misses = np.cumsum(golden), np.cumsum(other)
    with np.errstate(invalid="ignore"):
        best = np.where(golden > 0, golden * hits / (hits + misses - other), 0).sum()
    series = digamma(hits + misses + 1) - digamma(hits + misses - golden + 1)
    worst = np.where(golden > 0, golden - misses * series, 0).sum()
    value = float(ap_of(histogram))
    return float(max(best / total - value, value - worst / total))


class SoftScores:
    """Pixel AUROC and AP over many images; memory does not grow with their pixels.

    Images are resampled by Poisson weights as they come: the weight of an image in a resample is Poisson(1), which the
    multinomial bootstrap tends to (J. Hanley, B. MacGibbon, Creating non-parametric bootstrap samples using Poisson
    frequencies, 2006). Deterministic for a seed and an order of the images.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._sum = np.zeros((2, BINS), dtype=np.int64)
        self._draws = np.zeros((RESAMPLES, 2 * BINS))
        self._waiting: list[np.ndarray] = []
        self._per_image: list[tuple[float, float]] = []

    def add(self, soft: np.ndarray, golden: np.ndarray) -> dict[str, float | None]:
        """Take in a float (h, w) map in [0, 1] and a bool (h, w) mask; the image's own figures, None where undefined.

        ValueError where they do not fit each other.
        """
        counts = histogram(soft, golden)
        self._sum += counts
        self._waiting.append(counts.ravel())
        if len(self._waiting) == _BATCH:
            self._weigh()
        own = float(auroc_of(counts)), float(ap_of(counts))
        self._per_image.append(own)
        return {
            name: None if value != value else value
            for name, value in zip(("pixel_auroc", "pixel_ap"), own, strict=True)
        }

    def _weigh(self) -> None:
        if self._waiting:
            weights = self._rng.poisson(1, (RESAMPLES, len(self._waiting))).astype(float)
            self._draws += weights @ np.array(self._waiting, dtype=float)
            self._waiting = []

    def estimates(self) -> dict[str, tuple[Estimate, float | None]]:
        """Each figure with its error bound; the per-image ones are means over the images on which they are defined."""
        self._weigh()
        n = len(self._per_image)
        draws = self._draws.reshape(-1, 2, BINS)
        found: dict[str, tuple[Estimate, float | None]] = {}
        for i, (name, of, error) in enumerate(
            (("pixel_auroc", auroc_of, auroc_error), ("pixel_ap", ap_of, ap_error))
        ):
            own = np.array([values[i] for values in self._per_image])
            own = own[np.isfinite(own)]
            # A mean's value and interval in one place with the others': sums of values over sums of ones.
            sums = resampled_sums(np.column_stack([own, np.ones(len(own))])) if len(own) else np.zeros((1, 2))
            mean = float(own.mean()) if len(own) else float("nan")
            with np.errstate(invalid="ignore"):
                found[name] = of_draws(mean, sums[:, 0] / sums[:, 1], len(own)), None
            bound = error(self._sum)
            found[f"{name}_cumulative"] = (
                of_draws(float(of(self._sum)), of(draws), n),
                None if bound != bound else bound,
            )
        return found
