"""Pixel counts of two masks and what follows from them, of the foreground (the defective pixels) alone.

The one exception is called so, `two_class_miou`: it averages in the background's IoU, which is near 1 where defects are
small, so that an empty mask scores near one half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one image: predicted and golden, predicted alone, golden alone, neither.

    Where a ratio is 0 / 0 it is 1 if both masks agree that there is nothing, and 0 if one of them marks something.
    """

    both: int
    predicted_only: int
    golden_only: int
    neither: int

    @property
    def predicted(self) -> int:
        """Predicted pixels."""
        return self.both + self.predicted_only

    @property
    def golden(self) -> int:
        """Golden pixels."""
        return self.both + self.golden_only

    @property
    def union(self) -> int:
        """Pixels of either mask."""
        return self.both + self.predicted_only + self.golden_only

    @property
    def iou(self) -> float:
        """Intersection over union in [0, 1]; 1 where both masks are empty."""
        return self.both / self.union if self.union else 1.0

    @property
    def f1(self) -> float:
        """Pixel F1 (Dice) in [0, 1]; 1 where both masks are empty."""
        total = self.predicted + self.golden
        return 2 * self.both / total if total else 1.0

    @property
    def precision(self) -> float:
        """Share of the predicted pixels that are golden; of none 0, or 1 if the golden mask is empty too."""
        return self.both / self.predicted if self.predicted else float(not self.golden)

    @property
    def recall(self) -> float:
        """Share of the golden pixels that are predicted; of none 0, or 1 if the prediction is empty too."""
        return self.both / self.golden if self.golden else float(not self.predicted)

    @property
    def background_iou(self) -> float:
        """IoU of what is not marked; 1 where both masks are full."""
        either = self.neither + self.predicted_only + self.golden_only
        return self.neither / either if either else 1.0


def same_size(predicted: np.ndarray, golden: np.ndarray) -> None:
    """Raise ValueError where two arrays are no (h, w) of one size: nothing is ever resized."""
    if predicted.ndim != 2 or predicted.shape != golden.shape:
        raise ValueError(f"mask sizes differ: {predicted.shape} and {golden.shape}")
    if not predicted.size:
        raise ValueError("a mask without pixels")


def overlap(predicted: np.ndarray, golden: np.ndarray) -> Overlap:
    """Counts for two bool (h, w) masks; ValueError where their sizes differ or they are not bool."""
    same_size(predicted, golden)
    if predicted.dtype != bool or golden.dtype != bool:
        raise ValueError(f"masks must be bool, not {predicted.dtype} and {golden.dtype}")
    both = int(np.count_nonzero(predicted & golden))
    predicted_only = int(np.count_nonzero(predicted)) - both
    golden_only = int(np.count_nonzero(golden)) - both
    return Overlap(both, predicted_only, golden_only, golden.size - both - predicted_only - golden_only)


def iou(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Intersection over union of two bool (h, w) masks, 1 where both are empty."""
    return overlap(predicted, golden).iou


def giou(overlaps: Sequence[Overlap]) -> float:
    """gIoU after LISA and AGIDA: the mean of the per-image IoUs. NaN for no image."""
    return float(np.mean([o.iou for o in overlaps])) if overlaps else float("nan")


def ciou(overlaps: Sequence[Overlap]) -> float:
    """cIoU: summed intersection over summed union, so that large masks weigh more. NaN for no image."""
    if not overlaps:
        return float("nan")
    union = sum(o.union for o in overlaps)
    return sum(o.both for o in overlaps) / union if union else 1.0


def pixel_f1(overlaps: Sequence[Overlap]) -> float:
    """The mean of the per-image pixel F1s. NaN for no image."""
    return float(np.mean([o.f1 for o in overlaps])) if overlaps else float("nan")


def two_class_miou(one: Overlap) -> float:
    """The mean of the IoUs of defective and of other pixels, which some papers call mIoU; near .5 for an empty mask."""
    return (one.iou + one.background_iou) / 2
