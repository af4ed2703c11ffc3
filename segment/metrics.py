"""Mask metrics, all of the foreground (the defective pixels) alone.

Two-class averages, under which an empty mask scores near one half, are deliberately absent: see `giou`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one image: predicted and golden, predicted alone, golden alone."""

    both: int
    predicted_only: int
    golden_only: int

    @property
    def iou(self) -> float:
        """Intersection over union in [0, 1]; 1 where both masks are empty."""
        union = self.both + self.predicted_only + self.golden_only
        return self.both / union if union else 1.0

    @property
    def f1(self) -> float:
        """Pixel F1 (Dice) in [0, 1]; 1 where both masks are empty."""
        total = 2 * self.both + self.predicted_only + self.golden_only
        return 2 * self.both / total if total else 1.0


def overlap(predicted: np.ndarray, golden: np.ndarray) -> Overlap:
    """Counts for two bool (h, w) masks; ValueError where their sizes differ."""
    if predicted.shape != golden.shape:
        raise ValueError(f"mask sizes differ: {predicted.shape} and {golden.shape}")
    both = int(np.count_nonzero(predicted & golden))
    return Overlap(both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(golden)) - both)


def iou(predicted: np.ndarray, golden: np.ndarray) -> float:
    """Intersection over union of two bool (h, w) masks, 1 where both are empty."""
    return overlap(predicted, golden).iou


def giou(overlaps: Sequence[Overlap]) -> float:
    """gIoU after LISA and AGIDA: the mean of the per-image IoUs. NaN for no image."""
    return float(np.mean([o.iou for o in overlaps])) if overlaps else float("nan")


def ciou(overlaps: Sequence[Overlap]) -> float:
    """cIoU: summed intersection over summed union, so that large masks weigh more. NaN for no image."""
    union = sum(o.both + o.predicted_only + o.golden_only for o in overlaps)
    return sum(o.both for o in overlaps) / union if union else float("nan")


def pixel_f1(overlaps: Sequence[Overlap]) -> float:
    """The mean of the per-image pixel F1s. NaN for no image."""
    return float(np.mean([o.f1 for o in overlaps])) if overlaps else float("nan")
