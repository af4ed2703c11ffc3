"""One image's masks scored: every count that a figure over many images is made of."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segment.metrics.boundary import BoundaryCounts, counts_of, outline
from segment.metrics.overlaps import Overlap, overlap, two_class_miou
from segment.metrics.regions import THRESHOLDS, Regions, components, match_labelled, size_of_share


@dataclass(frozen=True)
class Scored:
    """The counts of one predicted mask against its golden one."""

    overlap: Overlap
    boundary: BoundaryCounts
    regions: Regions

    def figures(self) -> dict[str, float | None]:
        """The per-image figures by name; None where one is not defined."""
        o = self.overlap
        recalls = {f"region_recall_{int(100 * t)}": self.regions.recall(i) for i, t in enumerate(THRESHOLDS)}
        return {
            "iou": o.iou,
            "miou_2class": two_class_miou(o),
            "pixel_precision": o.precision,
            "pixel_recall": o.recall,
            "pixel_f1": o.f1,
            "boundary_f": self.boundary.f,
            **{name: None if value != value else value for name, value in recalls.items()},
        }


class Target:
    """A golden mask, bool (h, w), to score several predictions against: its outline and regions are found once."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    @property
    def share(self) -> float:
        """The marked share of the picture, 0 to 1."""
        return float(self.mask.mean())

    @property
    def size(self) -> int:
        """The index in `regions.SIZES` of the mask's share."""
        return size_of_share(self.share)

    @cached_property
    def _outline(self) -> np.ndarray:
        return outline(self.mask)

    @cached_property
    def _regions(self) -> tuple[np.ndarray, int]:
        return components(self.mask)

    def score(self, predicted: np.ndarray) -> Scored:
        """Score a bool (h, w) prediction; ValueError where it has another size."""
        counts = overlap(predicted, self.mask)
        equal = not counts.predicted_only and not counts.golden_only
        boundary = counts_of(outline(predicted), self._outline, equal)
        return Scored(counts, boundary, match_labelled(components(predicted), self._regions))

    def empty(self) -> Scored:
        """The baseline that marks nothing."""
        return self.score(np.zeros_like(self.mask))

    def full(self) -> Scored:
        """The baseline that marks everything."""
        return self.score(np.ones_like(self.mask))
