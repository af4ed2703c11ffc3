"""What the scenes section needs of each sample: a few names and numbers of a row that `flawscribe scenes` wrote."""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flawscribe.records import Sample
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
UNUSABLE = "they lack a pair or a golden label, or their arm is unknown or contradicts that label"
_LONGEST = 60


@dataclass(frozen=True)
class Anomaly:
    """One anomaly as the manifest tells it; `area` is its share of the picture, 0–1, None where not known."""

    kind: str
    subject: str
    severity: str
    area: float | None


@dataclass(frozen=True)
class SceneRow:
    """A row of a scenes manifest and what was answered; None where an answer is missing.

    `base` names the base scene, `variant` tells apart its drawings (shift, size). `said` is the
    description's yes or no, `score` its P(defective) or else the former as 0 or 1, `named` the kinds that its text
    names. `defects` is None where the row is defective and the manifest does not tell readably what is wrong.
    `iou` and `marked` are those of the raw and of the gated mask; `masked` tells whether there is a golden mask.
    """

    base: str
    arm: str
    shift: str
    variant: tuple[str, str]
    subjects: tuple[str, ...]
    anomalies: tuple[Anomaly, ...]
    defects: tuple[Anomaly, ...] | None
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

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of its defects, as far as they are known."""
        return frozenset(d.kind for d in self.defects or ())

    @cached_property
    def wrong_subjects(self) -> frozenset[str]:
        """The subjects that something is wrong with; a single subject is meant whatever the anomaly says."""
        if len(self.subjects) == 1:
            return frozenset(self.subjects)
        return frozenset(a.subject for a in self.anomalies or self.defects or ())

    @property
    def largest(self) -> float | None:
        """The area of the largest defect, None where that of any is not known."""
        areas = [d.area for d in self.defects or ()]
        return max((a for a in areas if a is not None), default=None) if None not in areas else None


def looks_like_scene(sample: Sample) -> bool:
    """Whether a sample has a scene's arm, or the columns of one, be they usable or not."""
    pair, arm = sample.meta.get("pair"), sample.meta.get("arm")
    return (isinstance(arm, str) and arm in ARMS) or (pair is not None and arm is not None)


def scene_row(j: Joined) -> SceneRow | None:
    """The sample as a row of a scenes manifest; None where it is none, or its label contradicts its arm."""
    if j.sample is None or j.sample.golden is None:
        return None
    meta, golden = j.sample.meta, j.sample.golden
    base, arm = meta.get("pair"), meta.get("arm")
    if not isinstance(base, str | int) or base == "":
        return None
    if not isinstance(arm, str) or ARMS.get(arm) is not golden.defective:
        return None
    subjects = tuple(dict.fromkeys(_names(_list(meta.get("subjects"))) or _names([meta.get("subject")])))
    shift, d = meta.get("shift"), j.description
    masked = golden.defective and golden.mask is not None
    probable = d is not None and d.p_defective is not None
    return SceneRow(
        base=str(base),
        arm=arm,
        shift=_name(shift) or "none",
        variant=(str(shift), str(meta.get("size"))),
        subjects=subjects,
        anomalies=_anomalies(meta.get("anomaly")) or (),
        defects=(_anomalies(meta.get("defects")) or None) if golden.defective else (),
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


def _list(value: Any) -> list[Any] | None:
    """A list, or the one that a text holds as JSON: a CSV manifest's cells have no other way."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def _names(values: list[Any] | None) -> tuple[str, ...]:
    return tuple(filter(None, map(_name, values or ())))


def _anomalies(column: Any) -> tuple[Anomaly, ...] | None:
    """All that a column lists; None where it is no list, or any of it has no kind."""
    if (values := _list(column)) is None:
        return None
    found = []
    for value in values:
        if not isinstance(value, dict) or not (kind := _name(value.get("kind"))):
            return None
        subject, severity = (_name(value.get(name)) or "" for name in ("subject", "severity"))
        found.append(Anomaly(kind, subject, severity, _area(value.get("area"))))
    return tuple(found)


def _area(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if known else None


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
