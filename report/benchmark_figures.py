"""Geometry of the chart of the section `scenes`: detection by the size of the defect."""

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 400, 240
"""Inner sides of the plot in SVG units."""


@dataclass(frozen=True)
class Mark:
    """A value with its interval's ends, in SVG units, y down; `label` tells it in words."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str


@dataclass(frozen=True)
class Series:
    """The marks of one scorer, and `points` of the line through them."""

    name: str
    css: str
    marks: tuple[Mark, ...]
    points: str


@dataclass(frozen=True)
class Level:
    """A baseline as a horizontal line."""

    name: str
    css: str
    y: float


@dataclass(frozen=True)
class SizeChart:
    """The chart: names of the sizes with their x, series and baselines."""

    sizes: tuple[tuple[str, float], ...]
    series: tuple[Series, ...]
    levels: tuple[Level, ...]


def size_chart(section: dict[str, Any]) -> SizeChart | None:
    """AUC by defect size of the description and the mask head over the baselines' own; None where nothing is known."""
    if "absent" in section:
        return None
    names = list(section["by_size"])
    step = WIDTH / len(names)
    places = tuple((name, round((i + 0.5) * step, 1)) for i, name in enumerate(names))
    series = []
    for name, css, key in (
        ("description, all pairs", "description", "auc"),
        ("mask head, plain pairs", "head", "auc_mask"),
    ):
        marks = []
        for size, x in places:
            entry = section["by_size"][size][key]
            if entry["value"] is not None:
                label = f"{name}, {size}: AUC {entry['value']:.3f} of {entry['n']} rows"
                low, high = (None if entry[end] is None else _y(entry[end]) for end in ("low", "high"))
                marks.append(Mark(x, _y(entry["value"]), low, high, label))
        if marks:
            points = " ".join(f"{mark.x},{mark.y}" for mark in marks)
            series.append(Series(name, css, tuple(marks), points))
    levels = []
    for name, css in (("prompt only", "prompt"), ("picture only", "picture")):
        value = section["within_pairs"][f"{css}_only"]["all"]["auc"]["value"]
        if value is not None:
            levels.append(Level(f"{name}, all pairs: AUC {value:.3f}", css, _y(value)))
    return SizeChart(places, tuple(series), tuple(levels)) if series else None


def _y(value: float) -> float:
    return round((1 - value) * HEIGHT, 1)
