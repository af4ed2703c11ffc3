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
_SPARSE = 50_000  # points up to which a tree is quicker than distances over the whole picture
_TILE = 1024


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
    """The outline of a bool (h, w) mask as one."""
    edge = np.zeros_like(mask)
    edge[:, :-1] = mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def boundary_counts(predicted: np.ndarray, golden: np.ndarray) -> BoundaryCounts:
    """Counts for two bool (h, w) masks; ValueError where their sizes differ."""
    same_size(predicted, golden)
    return counts_of(outline(predicted), outline(golden), bool((predicted == golden).all()))


def counts_of(predicted: np.ndarray, golden: np.ndarray, equal: bool) -> BoundaryCounts:
    """Counts of two outlines (see `outline`)."""
    reach = tolerance(golden.shape)
    n, m = int(np.count_nonzero(predicted)), int(np.count_nonzero(golden))
    if not n or not m:
        return BoundaryCounts(n, 0, m, 0, equal)
    near = _near_points if max(n, m) <= _SPARSE else _near_pixels
    return BoundaryCounts(n, near(predicted, golden, reach), m, near(golden, predicted, reach), equal)


def _near_points(edge: np.ndarray, other: np.ndarray, reach: int) -> int:
    """How many pixels of an outline have one of the other at most `reach` pixels (Euclidean) away."""
    from scipy.spatial import KDTree

    # Between pixels the next larger distance is √(reach² + 1): the bound itself, which is exclusive, lies between.
    tree, bound = KDTree(np.argwhere(other)), math.sqrt(reach**2 + 0.5)
    found, _ = tree.query(np.argwhere(edge), distance_upper_bound=bound)
    return int(np.isfinite(found).sum())


def _near_pixels(edge: np.ndarray, other: np.ndarray, reach: int) -> int:
    """The same for long outlines, such as of noise, tile by tile: memory does not grow with their length."""
    from scipy.ndimage import distance_transform_edt

    count = 0
    for y in range(0, edge.shape[0], _TILE):
        for x in range(0, edge.shape[1], _TILE):
            top, left = max(0, y - reach), max(0, x - reach)
            around = other[top : y + _TILE + reach, left : x + _TILE + reach]
            if around.any():
                tile = edge[y : y + _TILE, x : x + _TILE]
                far = distance_transform_edt(~around)[y - top :, x - left :][: tile.shape[0], : tile.shape[1]]
                count += int(np.count_nonzero(tile & (far <= reach)))
    return count


def boundary_f(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Boundary F of two bool (h, w) masks, in [0, 1]; see `BoundaryCounts.f` for masks without an outline."""
    return boundary_counts(predicted, golden).f
