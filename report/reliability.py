"""Whether P(defective) can be believed: the reliability diagram, ECE and Brier score of the descriptions."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flawscribe import reliability
from flawscribe.errors import one_line
from flawscribe.runs import Run
from flawscribe.statistics import bootstrap
from report.estimates import absent, entry, nothing
from report.figures import SIDE

STRIP = 70
"""Height of the counts' histogram below the diagram, in SVG units."""


def believed(labels: np.ndarray, p: list[float | None], failed: int) -> dict[str, Any]:
    """`ece`, `brier` and `reliability` of detection, for bool (n,) labels and as many P(defective).

    Images without a probability are left out and counted. With one kind of label alone nothing can be said.
    """
    known = np.array([value is not None for value in p], dtype=bool)
    scores, told = np.array([value for value in p if value is not None]), labels[known]
    why = ""
    if not len(told):
        why = "no description of an image with a golden label has a probability"
    elif told.all() or not told.any():
        why = f"all {len(told)} images are golden-{'defective' if told.all() else 'clean'}: it takes both"
    if why:
        return {"ece": nothing(why, failed), "brier": nothing(why, failed), "reliability": absent(why)}
    values = np.unique(scores)
    found = {"bins": [asdict(one) for one in reliability.bins(told, scores)], "n": len(told)}
    if len(values) == 1:
        found["note"] = f"Every image has P(defective) = {values[0]:.3g}: there is one point, and no curve."
    return {
        "ece": entry(bootstrap(lambda a, b: reliability.ece(a > 0.5, b), told, scores), failed),
        "brier": entry(bootstrap(reliability.brier, told, scores), failed),
        "reliability": {**found, "without_probability": len(p) - len(told)},
    }


def calibration_told(run: Run) -> str:
    """One sentence on the calibration of the run's P(defective); nothing where the run has no descriptions.

    Reads run.json, which may be anybody's: what is not what we write is left out.
    """
    stage = run.info()["stages"].get("describe")
    if stage is None:
        return ""
    used, noted = stage.get("settings", {}).get("calibration"), stage.get("calibration")
    if not isinstance(used, dict):
        return "No calibration was used: P(defective) is the model's own."
    temperature, threshold = (_number(used.get(name)) for name in ("temperature", "threshold"))
    text = (
        f"Calibration {one_line(used.get('digest'), 40)} was used: temperature {temperature}, defective at or above "
        f"{threshold} (by {one_line(used.get('by'), 60)})."
    )
    noted = noted if isinstance(noted, dict) else {}
    if isinstance(n := noted.get("fitted_on"), int) and n:
        text += f" It was fitted on {n} of these pictures, which flatters this run's figures."
    if isinstance(n := noted.get("without_probability"), int) and n:
        text += f" {n} descriptions have no probability and keep the model's own yes or no."
    return text


def threshold_of(run: Run) -> float | None:
    """The calibration's threshold, None where none was used."""
    used = run.settings("describe").get("calibration")
    value = used.get("threshold") if isinstance(used, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "unknown"


@dataclass(frozen=True)
class Point:
    """A bin in the diagram, in SVG units, y down: its point, its interval from `low` to `high`, its bar below."""

    x: float
    y: float
    low: float
    high: float
    left: float
    width: float
    height: float
    label: str


def points(detection: dict[str, Any]) -> list[Point]:
    """The bins that hold images."""
    bins = detection.get("reliability", {}).get("bins", [])
    most = max((b["n"] for b in bins), default=0)
    return [
        Point(
            x=round(b["mean"] * SIDE, 1),
            y=round((1 - b["positive"]) * SIDE, 1),
            low=round((1 - b["positive_low"]) * SIDE, 1),
            high=round((1 - b["positive_high"]) * SIDE, 1),
            left=round(b["low"] * SIDE + 1, 1),
            width=round((b["high"] - b["low"]) * SIDE - 2, 1),
            height=round(b["n"] / most * STRIP, 1),
            label=f"P from {b['low']:.1f} to {b['high']:.1f}: {b['n']} images, mean P {b['mean']:.3f}, "
            f"{b['positive']:.3f} defective ({b['positive_low']:.3f} – {b['positive_high']:.3f})",
        )
        for b in bins
        if b["n"]
    ]
