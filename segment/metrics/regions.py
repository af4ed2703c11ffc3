"""Region-matched recall: how many of the golden regions were found as regions, however large they are.

A region is an 8-connected component. Golden and predicted regions are matched one to one where their IoU reaches a
threshold, as many as possible (a maximum bipartite matching; as for the detections of COCO, but that scores, which
masks have not, cannot order them).
"""

from dataclasses import dataclass

import numpy as np

from segment.metrics.overlaps import same_size

THRESHOLDS = (0.3, 0.5)
SIZES = ("under_1", "1_to_5", "over_5")
"""A region's or a mask's share of the picture, in per cent: < 1, 1 to 5 (both included), > 5."""


@dataclass(frozen=True)
class Regions:
    """Golden regions of one image by their size, and how many of them were found at each threshold.

    `golden` int (3,) in the order of SIZES, `found` int (2, 3) by THRESHOLDS and SIZES.
    """

    golden: np.ndarray
    found: np.ndarray

    def recall(self, threshold: int) -> float:
        """Share of the golden regions found at THRESHOLDS[threshold]; NaN where there is none."""
        n = int(self.golden.sum())
        return int(self.found[threshold].sum()) / n if n else float("nan")


def size_of_share(share: float) -> int:
    """The index in SIZES of a share (0 to 1) of the picture."""
    return 0 if share < 0.01 else 1 if share <= 0.05 else 2


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """8-connected components of a bool (h, w) mask: int32 (h, w) labels from 1, 0 elsewhere, and their number."""
    from scipy.ndimage import label

    labels = np.zeros(mask.shape, dtype=np.int32)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return labels, 0
    inner = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return labels, label(mask[inner], structure=np.ones((3, 3)), output=labels[inner])


def match(predicted: np.ndarray, golden: np.ndarray) -> Regions:
    """Match the regions of two bool (h, w) masks; ValueError where their sizes differ."""
    same_size(predicted, golden)
    return match_labelled(components(predicted), components(golden))


def match_labelled(predicted: tuple[np.ndarray, int], golden: tuple[np.ndarray, int]) -> Regions:
    """Match regions that are labelled already (see `components`)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    (mine, n), (theirs, m) = predicted, golden
    area = np.bincount(theirs.ravel(), minlength=m + 1)[1:]
    sizes = np.array([size_of_share(a / theirs.size) for a in area], dtype=int)
    of_size = np.bincount(sizes, minlength=len(SIZES))
    found = np.zeros((len(THRESHOLDS), len(SIZES)), dtype=int)
    if not n or not m:
        return Regions(of_size, found)
    touching = (mine > 0) & (theirs > 0)
    pair, shared = np.unique(mine[touching].astype(np.int64) * (m + 1) + theirs[touching], return_counts=True)
    p, g = pair // (m + 1) - 1, pair % (m + 1) - 1
    iou = shared / (np.bincount(mine.ravel(), minlength=n + 1)[1:][p] + area[g] - shared)
    for i, threshold in enumerate(THRESHOLDS):
        good = iou >= threshold
        links = coo_array((np.ones(good.sum()), (g[good], p[good])), shape=(m, n)).tocsr()
        matched = maximum_bipartite_matching(links, perm_type="column") >= 0
        found[i] = np.bincount(sizes[matched], minlength=len(SIZES))
    return Regions(of_size, found)


def region_recall(predicted: np.ndarray, golden: np.ndarray) -> dict[float, float]:
    """By threshold, the share of golden regions of two bool (h, w) masks that were found; NaN where there is none."""
    found = match(predicted, golden)
    return {threshold: found.recall(i) for i, threshold in enumerate(THRESHOLDS)}
