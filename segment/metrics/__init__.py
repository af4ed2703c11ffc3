"""How good masks are: of two masks, of a probability map and a mask, of two heatmaps, and over many images.

Every metric has a card in `segment.metrics.cards`: its range, its direction, its source, what an empty golden mask
does.
"""

from segment.metrics.boundary import boundary_f
from segment.metrics.overlaps import (
    Overlap,
    ciou,
    giou,
    iou,
    overlap,
    pixel_f1,
    two_class_miou,
)
from segment.metrics.regions import region_recall
from segment.metrics.soft import SoftScores, pixel_ap, pixel_auroc

__all__ = [
    "Overlap",
    "SoftScores",
    "boundary_f",
    "ciou",
    "giou",
    "iou",
    "overlap",
    "pixel_ap",
    "pixel_auroc",
    "pixel_f1",
    "region_recall",
    "two_class_miou",
]
