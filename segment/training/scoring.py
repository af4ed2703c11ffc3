"""Validation: what the head marks on images it does not learn from, and the thresholds chosen by it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segment.training.data import Example

_CONFIDENCE = 0.8
GRID = np.round(np.arange(0.2, 0.81, 0.05), 2)
"""The thresholds of a pixel's probability among which validation chooses."""


@dataclass(frozen=True)
class Answers:
    """The head's answers for n validation images, at the masks' own resolution.

    `p` (n,) P(defective); `quality` (n, 2); `both`, `marked` (n, len(GRID)) pixel counts at each threshold, and
    `golden` (n,), for the mask without words; `told_both`, `told_marked` for the one that followed them.
    """

    p: np.ndarray
    quality: np.ndarray
    golden: np.ndarray
    both: np.ndarray
    marked: np.ndarray
    told_both: np.ndarray
    told_marked: np.ndarray


def count(probability: np.ndarray, golden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels marked rightly and pixels marked, (len(GRID),) each, of one image's float and bool (h, w) maps."""
    marked = np.array([(probability >= t).sum() for t in GRID])
    right = probability[golden]
    return np.array([(right >= t).sum() for t in GRID]), marked


def scores(
    examples: Sequence[Example], a: Answers, mask_threshold: float, presence_threshold: float
) -> dict[str, float]:
    """Validation figures at two thresholds; a figure that the data does not allow is left out.

    `giou`, `ciou`, `f1` over the images with a golden mask (as `segment.metrics` defines them), gated by
    P(defective); `giou_told` where the descriptions are shown, whose masks it does not hold back;
    `clean_marked` the share of flawless images with a pixel marked; `auc` of P(defective), `srcc` of the quality.
    """
    from scipy.stats import spearmanr

    from flawscribe.statistics import auc

    at = int(np.argmin(np.abs(GRID - mask_threshold)))
    sick = np.array([e.mask is not None for e in examples])
    clean = np.array([not e.defective and not e.asked for e in examples])
    known = clean | np.array([e.defective for e in examples])
    shown = a.p >= presence_threshold
    both, marked = a.both[:, at] * shown, a.marked[:, at] * shown
    union = marked + a.golden - both
    found = {
        "giou": float((both / np.maximum(union, 1))[sick].mean()),
        "ciou": float(both[sick].sum() / max(union[sick].sum(), 1)),
        "f1": float((2 * both / np.maximum(marked + a.golden, 1))[sick].mean()),
    }
    if any(e.texts for e in examples):
        told_both, told_marked = a.told_both[:, at], a.told_marked[:, at]
        found["giou_told"] = float(
            (told_both / np.maximum(told_marked + a.golden - told_both, 1))[sick].mean()
        )
    if clean.any():
        found["clean_marked"] = float((marked > 0)[clean].mean())
        if (area := auc(clean[known] == 0, a.p[known]).value) is not None:
            found["auc"] = area
    graded = np.array([e.quality is not None and not e.asked for e in examples])
    if graded.sum() > 2:
        truth = np.array([e.quality or 0.0 for e in examples])[graded]
        if np.ptp(truth) > 0:
            found["srcc"] = float(spearmanr(truth, a.quality[graded, 0]).statistic)
    return found


def choose(examples: Sequence[Example], a: Answers, most: float) -> tuple[float, float]:
    """The thresholds (of a pixel, of P(defective)) with the best gIoU that mark at most `most` of the flawless images.

    So few of those are marked here that among all flawless images it is at most `most` with a confidence of 80 % (the
    upper bound of Clopper and Pearson, as in Bates et al. 2021, risk-controlling prediction sets); of too few
    to say that, none. Without flawless images P(defective) decides nothing.
    """
    sick = np.array([e.mask is not None for e in examples])
    clean = np.array([not e.defective and not e.asked for e in examples])
    allowed = tolerated(int(clean.sum()), most)
    best = (-1.0, 0.5, 0.0)
    for at, threshold in enumerate(GRID):
        shown = np.sort(a.p[clean & (a.marked[:, at] > 0)])[::-1]
        least = 0.0 if len(shown) <= allowed else float(shown[allowed])
        presence = _above(least, a.p) if least else 0.0
        gate = a.p >= presence
        both, marked = a.both[:, at] * gate, a.marked[:, at] * gate
        giou = float((both / np.maximum(marked + a.golden - both, 1))[sick].mean())
        if giou > best[0]:
            best = (giou, float(threshold), presence)
    return best[1], best[2]


def tolerated(n: int, most: float) -> int:
    """How many of n may be marked, so that the share of all is at most `most` with a confidence of 80 %."""
    from scipy.stats import beta

    marked = np.arange(n)
    bound = beta.ppf(_CONFIDENCE, marked + 1, n - marked)
    return n if most >= 1 else max(0, int((bound <= most).sum()) - 1)


def _above(p: float, values: np.ndarray) -> float:
    """Half way between p and the next greater value: no image lies on the threshold itself."""
    greater = values[values > p]
    return float((p + (greater.min() if len(greater) else 1.0)) / 2)
