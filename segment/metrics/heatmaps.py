"""Heatmap metrics of the saliency literature, as RichHF-18K and RAHF report them for implausibility maps.

Definitions: Z. Bylinskii, T. Judd, A. Oliva, A. Torralba, F. Durand, What do different evaluation metrics tell us about
saliency models? (TPAMI 2019, arXiv 1604.03605). Maps are float (h, w) in [0, 1] of one size, never resized. "Fixations"
are the pixels where the golden map is above 0. NaN: not defined, because the golden map holds nothing to compare with.
"""

from collections.abc import Callable

import numpy as np

from segment.metrics.overlaps import same_size

EPSILON = float(np.finfo(np.float64).eps)
"""KLD's regulariser, as in the MIT benchmark's code."""


def _maps(predicted: np.ndarray, golden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    same_size(predicted, golden)
    for name, values in (("predicted", predicted), ("golden", golden)):
        if not (values.min() >= 0 and values.max() <= 1):  # NaN fails both
            raise ValueError(f"the {name} heatmap must lie in [0, 1]")
    return predicted.astype(np.float64), golden.astype(np.float64)


def mse(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Mean squared error in [0, 1]; defined for empty golden maps too."""
    p, g = _maps(predicted, golden)
    return float(np.mean((p - g) ** 2))


def cc(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Pearson's correlation of the two maps' values, in [−1, 1].

    0 where the prediction is constant (it says nothing of where); NaN where the golden map is.
    """
    p, g = _maps(predicted, golden)
    if np.ptp(g) == 0:
        return float("nan")
    if np.ptp(p) == 0:
        return 0.0
    p, g = p - p.mean(), g - g.mean()
    return float((p * g).sum() / np.sqrt((p * p).sum() * (g * g).sum()))


def kld(predicted: np.ndarray, golden: np.ndarray, epsilon: float = EPSILON) -> float:
    """Kullback-Leibler divergence of the prediction from the golden map, both scaled to sum 1: Σ G ln(ε + G / (ε + P)).

    0 is best; there is no upper bound but that ε sets, which decides how dear a golden pixel is where nothing is
    predicted (code for RichHF-18K has 1e-8, about half as dear). A prediction of zeros stays zeros. NaN for an empty
    golden map.
    """
    p, g = _maps(predicted, golden)
    if not g.any():
        return float("nan")
    p, g = p / (p.sum() or 1.0), g / g.sum()
    return float((g * np.log(epsilon + g / (epsilon + p))).sum())


def sim(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Similarity (histogram intersection) in [0, 1]: Σ min(P, G) of the maps scaled to sum 1.

    0 for a prediction of zeros; NaN for an empty golden map.
    """
    p, g = _maps(predicted, golden)
    if not g.any():
        return float("nan")
    return float(np.minimum(p / (p.sum() or 1.0), g / g.sum()).sum())


def nss(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Normalised scanpath saliency: the mean over fixations of the prediction with mean 0 and standard deviation 1.

    0 is chance, and what a constant prediction gets; unbounded both ways. The deviation is the sample's (n − 1), as
    in the MIT benchmark's code. NaN for an empty golden map.
    """
    p, g = _maps(predicted, golden)
    if not g.any():
        return float("nan")
    if np.ptp(p) == 0:
        return 0.0
    return float(((p[g > 0] - p.mean()) / p.std(ddof=1)).mean())


def auc_judd(predicted: np.ndarray, golden: np.ndarray) -> float:
    """AUC-Judd in [0, 1]: the ROC curve through the thresholds that are predicted values at fixations, by trapezoids.

    At each threshold the true-positive rate is the share of fixations, the false-positive rate that of the other
    pixels, at or above it. Between thresholds the curve is cut short, so it is up to 1 / 2n above the pixel AUROC for
    n fixations. Ties count half; the MIT code breaks them by random jitter instead, to the same effect on average.
    NaN where no pixel or every pixel is a fixation.
    """
    p, g = _maps(predicted, golden)
    fixated = g > 0
    n, others = int(fixated.sum()), int((~fixated).sum())
    if not n or not others:
        return float("nan")
    thresholds, counts = np.unique(p[fixated], return_counts=True)
    # The others below each threshold, and how many fixations are at or above it, from the highest threshold down.
    below = np.searchsorted(np.sort(p[~fixated]), thresholds[::-1], "left")
    true = np.concatenate(([0.0], np.cumsum(counts[::-1]) / n, [1.0]))
    false = np.concatenate(([0.0], 1 - below / others, [1.0]))
    return float(np.trapezoid(true, false))


HEATMAPS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse": mse,
    "cc": cc,
    "kld": kld,
    "sim": sim,
    "nss": nss,
    "auc_judd": auc_judd,
}
"""The set by the names in JSON."""
