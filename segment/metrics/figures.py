"""Figures over many images, with bootstrap intervals over images: means of per-image figures, and ratios of sums.

Each figure is a function of sums over images. A resample draws images whole, so that the intersection and the union, or
the hits and the regions, of one image stay together.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flawscribe.statistics import Estimate, of_draws, resampled_sums
from segment.metrics.regions import SIZES
from segment.metrics.scored import Scored

Sums = Mapping[str, np.ndarray]

_PER_IMAGE = ("iou", "miou_2class", "pixel_precision", "pixel_recall", "pixel_f1", "boundary_f")
_RECALLS = ("region_recall_30", "region_recall_50")
_BY_SIZE = tuple(f"{what}_{size}" for what in ("regions", "found_30", "found_50") for size in SIZES)
COLUMNS = (
    "images",
    *_PER_IMAGE,
    *_RECALLS,
    "with_regions",
    "both",
    "predicted",
    "golden",
    "pixels",
    "edge_predicted",
    "edge_predicted_near",
    "edge_golden",
    "edge_golden_near",
    *_BY_SIZE,
)


def _row(s: Scored) -> list[float]:
    o, b, r = s.overlap, s.boundary, s.regions
    one, regions = s.figures(), bool(r.golden.sum())
    return [
        1.0,
        *(float(one[name] or 0.0) for name in (*_PER_IMAGE, *_RECALLS)),
        float(regions),
        *map(float, (o.both, o.predicted, o.golden, o.union + o.neither)),
        *map(float, (b.predicted, b.predicted_near, b.golden, b.golden_near)),
        *map(float, (*r.golden, *r.found.ravel())),
    ]


def _ratio(top: np.ndarray, bottom: np.ndarray, otherwise: np.ndarray | float = np.nan) -> np.ndarray:
    """`top / bottom`, and `otherwise` where that is 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, otherwise)


def _mean(name: str) -> Callable[[Sums], np.ndarray]:
    return lambda s: _ratio(s[name], s["images"])


def _two_class(s: Sums) -> np.ndarray:
    union = s["predicted"] + s["golden"] - s["both"]
    neither = s["pixels"] - union
    return (_ratio(s["both"], union, 1.0) + _ratio(neither, s["pixels"] - s["both"], 1.0)) / 2


def _boundary(s: Sums) -> np.ndarray:
    precision = _ratio(s["edge_predicted_near"], s["edge_predicted"], 0.0)
    recall = _ratio(s["edge_golden_near"], s["edge_golden"], 0.0)
    none = np.where(s["edge_predicted"] + s["edge_golden"] > 0, 0.0, np.nan)
    return _ratio(2 * precision * recall, precision + recall, none)


def _found(threshold: int, sizes: Sequence[str] = SIZES) -> Callable[[Sums], np.ndarray]:
    return lambda s: _ratio(_sum(s, f"found_{threshold}", sizes), _sum(s, "regions", sizes))


def _sum(s: Sums, what: str, sizes: Sequence[str] = SIZES) -> np.ndarray:
    return np.sum([s[f"{what}_{size}"] for size in sizes], axis=0)


FIGURES: dict[str, Callable[[Sums], np.ndarray]] = {
    "giou": _mean("iou"),
    "ciou": lambda s: _ratio(s["both"], s["predicted"] + s["golden"] - s["both"], 1.0),
    "miou_2class": _mean("miou_2class"),
    "miou_2class_cumulative": _two_class,
    "pixel_precision": _mean("pixel_precision"),
    "pixel_precision_cumulative": lambda s: _ratio(s["both"], s["predicted"], s["golden"] == 0),
    "pixel_recall": _mean("pixel_recall"),
    "pixel_recall_cumulative": lambda s: _ratio(s["both"], s["golden"], s["predicted"] == 0),
    "pixel_f1": _mean("pixel_f1"),
    "pixel_f1_cumulative": lambda s: _ratio(2 * s["both"], s["predicted"] + s["golden"], 1.0),
    "boundary_f": _mean("boundary_f"),
    "boundary_f_cumulative": _boundary,
    "region_recall_30": lambda s: _ratio(s["region_recall_30"], s["with_regions"]),
    "region_recall_30_cumulative": _found(30),
    "region_recall_50": lambda s: _ratio(s["region_recall_50"], s["with_regions"]),
    "region_recall_50_cumulative": _found(50),
    **{f"region_recall_{t}_{size}": _found(t, (size,)) for t in (30, 50) for size in SIZES},
}
"""Figures by their names in metrics.json; those of golden regions of one size are cumulative."""


def _n(name: str, s: Sums) -> int:
    """How many items gave the figure: images, or regions where it is cumulative over these."""
    if not name.startswith("region_recall"):
        return int(s["images"])
    if name in _RECALLS:
        return int(s["with_regions"])
    size = tuple(size for size in SIZES if name.endswith(size))
    return int(_sum(s, "regions", size or SIZES))


class Figures:
    """Collects the counts of scored images, some 30 numbers each, then computes."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def __len__(self) -> int:
        """The number of images."""
        return len(self._numbers) // len(COLUMNS)

    def add(self, scored: Scored) -> None:
        """Take in an image."""
        self._numbers.extend(_row(scored))

    def estimates(self, which: Sequence[int] | np.ndarray | None = None) -> dict[str, Estimate]:
        """Every figure of FIGURES over the images, or over those at the places `which` in the order of adding."""
        rows = np.frombuffer(self._numbers).reshape(-1, len(COLUMNS))
        if which is not None:
            rows = rows[np.asarray(which, dtype=int)]
        if not len(rows):
            return dict.fromkeys(FIGURES, Estimate(None, None, None, 0))
        total = dict(zip(COLUMNS, rows.sum(0), strict=True))
        draws = dict(zip(COLUMNS, resampled_sums(rows).T, strict=True))
        return {
            name: of_draws(float(figure(total)), figure(draws), _n(name, total))
            for name, figure in FIGURES.items()
        }
