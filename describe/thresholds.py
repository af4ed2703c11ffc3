"""The threshold at or above which P(defective) means defective: by Youden, a false-positive rate, or costs."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flawscribe.errors import UserError, one_line

_COSTS = re.compile(r"costs=([\d.]+):([\d.]+)")
MOST = 100
"""Characters of a rule."""
_FPR = re.compile(r"fpr=([\d.]+)")


@dataclass(frozen=True)
class Counted:
    """What each possible threshold gives, from the strictest, all as arrays of the same length.

    `hits` and `alarms` are the defective and the clean images at or above `threshold`.
    """

    threshold: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray
    defective: int
    clean: int


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen: `name` as it is given, and what it is to make large (-inf where not allowed)."""

    name: str
    worth: Callable[[Counted], np.ndarray]


def rule(text: str) -> Rule:
    """`youden` (largest recall less false-positive rate), `fpr=0.05` (largest recall at no more than that
    false-positive rate), or `costs=10:1` (least total cost of missed defects and false alarms).

    UserError for any other text.
    """
    if len(text) > MOST:
        text = text[:MOST] + "…"  # no rule
    if text == "youden":
        return Rule(text, lambda c: c.hits / c.defective - c.alarms / c.clean)
    if (found := _FPR.fullmatch(text)) and (most := _number(found[1])) is not None and most < 1:
        # In whole images, so that 0.05 of 20 is one image whatever rounding says.
        return Rule(
            text, lambda c: np.where(c.alarms <= math.floor(most * c.clean + 1e-9), c.hits, -math.inf)
        )
    if found := _COSTS.fullmatch(text):
        missed, alarm = _number(found[1]), _number(found[2])
        if missed and alarm:
            return Rule(text, lambda c: -(missed * (c.defective - c.hits) + alarm * c.alarms))
    raise UserError(
        f"--by {one_line(text, 60)} is none of youden, fpr=RATE (from 0 to below 1, such as fpr=0.05), "
        "costs=MISSED:ALARM (both above 0, such as costs=10:1)"
    )


def best(by: Rule, labels: np.ndarray, p: np.ndarray) -> float:
    """The threshold that is worth most for bool (n,) labels and float (n,) probabilities; both classes must be there.

    Of equals the strictest. It lies midway between two neighbouring probabilities, so that no last digit decides;
    inf where calling nothing defective is worth most, 0 where calling everything defective is.
    """
    c = counted(labels, p)
    return float(c.threshold[int(np.argmax(by.worth(c)))])


def counted(labels: np.ndarray, p: np.ndarray) -> Counted:
    """Every threshold that tells the images apart differently, from the one that calls none of them defective."""
    values, place = np.unique(p, return_inverse=True)
    hits = np.bincount(place, weights=labels.astype(float), minlength=len(values))[::-1].cumsum()
    every = np.bincount(place, minlength=len(values))[::-1].cumsum()
    between = values[:-1] + (values[1:] - values[:-1]) / 2
    between = np.where(between > values[:-1], between, values[1:])  # neighbouring floats have no middle
    return Counted(
        threshold=np.concatenate(([math.inf], between[::-1], [0.0])),
        hits=np.concatenate(([0.0], hits)),
        alarms=np.concatenate(([0.0], every - hits)),
        defective=int(labels.sum()),
        clean=int((~labels).sum()),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
