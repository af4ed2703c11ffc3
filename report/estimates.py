"""How a figure stands in metrics.json: its value and interval, what it was taken over, what failed."""

from typing import Any

from flawscribe.statistics import Estimate


def entry(estimate: Estimate, failed: int, **more: Any) -> dict[str, Any]:
    """`{value, low, high, n, failed, …}`: `n` samples gave the value, `failed` should have and could not."""
    figures = {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}
    return {**figures, "n": estimate.n, "failed": failed, **more}


def nothing(reason: str, failed: int = 0, **more: Any) -> dict[str, Any]:
    """The entry of a figure that cannot be computed, with one line that says why."""
    return {"value": None, "low": None, "high": None, "n": 0, "failed": failed, "note": reason, **more}


def absent(reason: str) -> dict[str, Any]:
    """A whole section that the run cannot fill."""
    return {"absent": reason}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 6)
