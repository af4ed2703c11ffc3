"""Boundary F: how well the outlines of two masks agree within a tolerance, as the DAVIS benchmark measures it.

F. Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation (CVPR 2016), "contour
accuracy F", with the tolerance of its evaluation code: 0.8 % of the picture's diagonal, rounded up to whole pixels.
An outline is the set of pixels that differ from their neighbour to the right, below, or below to the right (D. Martin's
`seg2bmap`); the picture's own edge is none.
"""

import math
from dataclasses import dataclass

import numpy as np

from segment.metrics.overlaps import same_size

TOLERANCE = 0.008
"""Share of the picture's diagonal."""


@dataclass(frozen=True)
class BoundaryCounts:
    """Outline pixels of two masks, and how many of each lie near the other's outline; whether the masks are equal."""

    predicted: int
    predicted_near: int
    golden: int
    golden_near: int
    equal: bool

    @property
    def f(self) -> float:
        """2PR / (P + R) in [0, 1]; 0 where one mask has no outline; where neither has, 1 if they are equal, else 0."""
        if not self.predicted and not self.golden:
            return float(self.equal)
        near = self.predicted_near * self.golden_near
        if not near:
            return 0.0
        precision, recall = self.predicted_near / self.predicted, self.golden_near / self.golden
        return 2 * precision * recall / (precision + recall)


def tolerance(shape: tuple[int, ...]) -> int:
    """The distance in pixels up to which outlines agree in pictures of `shape` = (h, w): 12 at 1024 × 1024."""
    return math.ceil(TOLERANCE * math.hypot(*shape))


def outline(mask: np.ndarray) -> np.ndarray:
    """The outline of a bool (h, w) mask as int (n, 2) points (y, x)."""
    edge = np.zeros_like(mask)
    edge[:, :-1] = mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return np.argwhere(edge)


def boundary_counts(predicted: np.ndarray, golden: np.ndarray) -> BoundaryCounts:
    """Counts for two bool (h, w) masks; ValueError where their sizes differ."""
    same_size(predicted, golden)
    return counts_of(outline(predicted), outline(golden), golden.shape, bool((predicted == golden).all()))


def counts_of(
    predicted: np.ndarray, golden: np.ndarray, shape: tuple[int, ...], equal: bool
) -> BoundaryCounts:
    """Counts of two outlines (see `outline`) of masks of `shape`."""
    reach = tolerance(shape)
    return BoundaryCounts(
        len(predicted), _near(predicted, golden, reach), len(golden), _near(golden, predicted, reach), equal
    )


def _near(points: np.ndarray, others: np.ndarray, reach: int) -> int:
    """How many of the points have another one at most `reach` pixels (Euclidean) away."""
    from scipy.spatial import KDTree

    if not len(points) or not len(others):
        return 0
    # Between pixels the next larger distance is √(reach² + 1): the bound itself, which is exclusive, lies between.
    found, _ = KDTree(others).query(points, distance_upper_bound=math.sqrt(reach**2 + 0.5))
    return int(np.isfinite(found).sum())


def boundary_f(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Boundary F of two bool (h, w) masks, in [0, 1]; see `BoundaryCounts.f` for masks without an outline."""
    return boundary_counts(predicted, golden).f
