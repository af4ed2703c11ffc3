"""What the scenes section needs of each sample: a few names and numbers of a row that `flawscribe scenes` wrote."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from report.join import Joined
from report.masks import GoldenMaskFailure, golden_mask, predicted_mask
from segment.metrics import iou

ARMS = {"clean": False, "anomaly": True, "AA": False, "AB": True, "BA": True, "BB": False}
"""The arms of a base scene, and whether they are defective."""

PAIRS = {
    "plain": (("clean", "anomaly"),),
    "same_prompt": (("AA", "BA"), ("BB", "AB")),
    "same_picture": (("AA", "AB"), ("BB", "BA")),
}
"""Arms (flawless, defective) that differ in either the picture or the prompt alone."""

PARTS = ("plain", "justified", "all")
_LONGEST = 60


@dataclass(frozen=True)
class Anomaly:
    """One anomaly as the manifest tells it; `area` is its share of the picture, 0–1."""

    kind: str
    subject: str
    severity: str
    area: float | None


@dataclass(frozen=True)
class SceneRow:
    """A row of a scenes manifest and what was answered; None where an answer is missing.

    `base` names the base scene, `variant` tells apart its drawings (shift, size). `said` is the
    description's yes or no, `score` its P(defective) or else the former as 0 or 1, `named` the kinds that its text
    names. `iou` and `marked` are those of the raw and of the gated mask; `masked` tells whether there is
    a golden mask.
    """

    base: str
    arm: str
    shift: str
    variant: tuple[str, str]
    subjects: tuple[str, ...]
    anomalies: tuple[Anomaly, ...]
    defects: tuple[Anomaly, ...]
    prompt: str
    image: str
    said: bool | None
    score: float | None
    probable: bool
    named: frozenset[str] | None
    segmented: bool
    p_mask: float | None
    masked: bool
    iou: tuple[float | None, float | None]
    marked: tuple[bool | None, bool | None]

    @property
    def defective(self) -> bool:
        """Whether the row is defective under its prompt."""
        return ARMS[self.arm]

    @property
    def wrong_subjects(self) -> frozenset[str]:
        """The subjects that something is wrong with; a single subject is meant whatever the anomaly says."""
        if len(self.subjects) == 1:
            return frozenset(self.subjects)
        return frozenset(a.subject for a in self.anomalies)

    @property
    def largest(self) -> float | None:
        """The area of the largest defect."""
        return max((d.area for d in self.defects if d.area is not None), default=None)


def scene_row(j: Joined) -> SceneRow | None:
    """The sample as a row of a scenes manifest; None where it is none, or its label contradicts its arm."""
    if j.sample is None or j.sample.golden is None:
        return None
    meta, golden = j.sample.meta, j.sample.golden
    base, arm = meta.get("pair"), meta.get("arm")
    if not isinstance(base, str | int) or not isinstance(arm, str) or ARMS.get(arm) is not golden.defective:
        return None
    subjects = tuple(dict.fromkeys(_names(meta.get("subjects")) or _names([meta.get("subject")])))
    shift, d = meta.get("shift"), j.description
    masked = golden.defective and golden.mask is not None
    probable = d is not None and d.p_defective is not None
    return SceneRow(
        base=str(base),
        arm=arm,
        shift=_name(shift) or "none",
        variant=(str(shift), str(meta.get("size"))),
        subjects=subjects,
        anomalies=_anomalies(meta.get("anomaly")),
        defects=_anomalies(meta.get("defects")) if golden.defective else (),
        prompt=j.sample.prompt or "",
        image=j.sample.image,
        said=None if d is None else d.defective,
        score=None if d is None else float(d.defective) if d.p_defective is None else d.p_defective,
        probable=probable,
        named=None if d is None else _named(d.text, subjects),
        segmented=j.prediction is not None,
        p_mask=j.prediction.p_mask if j.prediction else None,
        masked=masked,
        iou=_ious(j) if masked else (None, None),
        marked=(
            j.prediction.rle is not None if j.prediction else None,
            j.mask is not None if j.gated_known else None,
        ),
    )


def _named(text: str, subjects: tuple[str, ...]) -> frozenset[str]:
    from scenes.naming import named  # only here: most manifests hold no scenes

    return named(text, subjects or None) if text else frozenset()


def _ious(j: Joined) -> tuple[float | None, float | None]:
    if j.prediction is None or j.sample is None:
        return None, None
    try:
        gold = golden_mask(j.sample, j.prediction.rle)
        raw = iou(predicted_mask(j.prediction.rle, gold.shape), gold)
    except GoldenMaskFailure:  # counted by kind in the section `masks`
        return None, None
    if not j.gated_known:
        return raw, None
    return raw, raw if j.mask is not None else float(not gold.any())


def _name(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _names(values: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(_name, values))) if isinstance(values, list) else ()


def _anomalies(values: Any) -> tuple[Anomaly, ...]:
    found = []
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict) and (kind := _name(value.get("kind"))):
            subject, severity = (_name(value.get(name)) or "" for name in ("subject", "severity"))
            found.append(Anomaly(kind, subject, severity, _area(value.get("area"))))
    return tuple(found)


def _area(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Rows:
    """All rows of the run's scenes as arrays of one entry a row, and the pairs among them.

    `base` int (n,) numbers the base scenes, `defective` bool (n,); `sets` maps the arms of each drawing of
    a base scene to rows; `pairs[part]` int (pairs, 2) are the rows (flawless, defective) of complete
    pairs, by the names of PAIRS and of PARTS.
    """

    def __init__(self, rows: list[SceneRow]) -> None:
        self.rows = rows
        names = {name: i for i, name in enumerate(dict.fromkeys(r.base for r in rows))}
        self.bases = len(names)
        self.base = np.array([names[r.base] for r in rows], dtype=int)
        self.defective = np.array([r.defective for r in rows], dtype=bool)
        self.arm = np.array([r.arm for r in rows])
        self.sets = _sets(rows)
        pairs = {
            name: _pairs([(s[a], s[b]) for s in self.sets for a, b in arms if a in s and b in s])
            for name, arms in PAIRS.items()
        }
        pairs["justified"] = np.concatenate([pairs["same_prompt"], pairs["same_picture"]])
        pairs["all"] = np.concatenate([pairs["plain"], pairs["justified"]])
        self.pairs = pairs

    def numbers(self, values: list[float | None] | list[bool | None]) -> np.ndarray:
        """One value a row as float (n,), NaN for None."""
        return np.array([np.nan if v is None else float(v) for v in values], dtype=float)


def _pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=int).reshape(-1, 2)


def _sets(rows: list[SceneRow]) -> list[dict[str, int]]:
    """Rows by arm, for each drawing of each base scene; an arm that comes again starts another set."""
    sets: defaultdict[tuple[Any, ...], dict[str, int]] = defaultdict(dict)
    times: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for i, row in enumerate(rows):
        again = times[row.base, row.variant, row.arm]
        times[row.base, row.variant, row.arm] += 1
        sets[row.base, row.variant, again][row.arm] = i
    return list(sets.values())
