"""Geometry of the report's figures: coordinates for inline SVG, so that they follow the page's theme."""

from dataclasses import dataclass
from typing import Any

SIDE = 300
"""Inner side of a plot in SVG units."""


@dataclass(frozen=True)
class Curve:
    """A ROC curve: `points` for an SVG polyline, y down."""

    name: str
    css: str
    points: str
    auc: float | None


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram, in SVG units."""

    css: str
    x: float
    y: float
    width: float
    height: float
    label: str


def curves(detection: dict[str, Any]) -> list[Curve]:
    """The ROC curves that the run has: of the description and of the mask head."""
    found = []
    source = "yes/no" if detection.get("auc_from") == "yes/no" else "P(defective)"
    for name, css, roc, auc in (
        (f"description, {source}", "description", "roc", "auc"),
        ("mask head, P(mask)", "head", "roc_mask", "auc_mask"),
    ):
        if points := detection.get(roc):
            line = " ".join(f"{x * SIDE:.1f},{(1 - y) * SIDE:.1f}" for x, y in points)
            found.append(Curve(name, css, line, detection[auc]["value"]))
    return found


def operating_point(detection: dict[str, Any]) -> tuple[float, float] | None:
    """Where the model's own yes/no stands in the ROC plot, in SVG units."""
    x, y = (detection.get(name, {}).get("value") for name in ("false_positive_rate", "recall"))
    return None if x is None or y is None else (round(x * SIDE, 1), round((1 - y) * SIDE, 1))


def bars(histogram: dict[str, list[int]] | None) -> list[Bar]:
    """Clean and defective images side by side in each bin of P(defective), as shares of their class."""
    if not histogram:
        return []
    shares = {name: [n / max(1, sum(counts)) for n in counts] for name, counts in histogram.items()}
    top = max(max(values) for values in shares.values()) or 1
    bins = len(histogram["clean"])
    step = SIDE / bins
    found = []
    for at, name in enumerate(("clean", "defective")):
        for i, share in enumerate(shares[name]):
            height = share / top * SIDE
            label = f"P from {i / bins:.2f} to {(i + 1) / bins:.2f}: {histogram[name][i]} {name} images"
            x = i * step + at * step / 2 + (0.5 if at == 0 else 0)
            found.append(
                Bar(
                    name,
                    round(x, 2),
                    round(SIDE - height, 2),
                    round(step / 2 - 0.5, 2),
                    round(height, 2),
                    label,
                )
            )
    return [bar for bar in found if bar.height]
