"""The gallery: which samples are shown, and what stands on each one's card."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flawscribe.images import ImageFailure, is_animated
from flawscribe.records import Verdict
from report import pictures
from report.claims import claim_lines
from report.join import OUTCOMES, Joined
from report.masks import GoldenMaskFailure, golden_mask, predicted_mask
from segment.metrics import iou
from segment.rle import decode

LONGEST_TEXT = 4000


@dataclass(frozen=True)
class Picture:
    """A thumbnail with its overlays as data URIs; `problem` says why there is none."""

    uri: str | None = None
    width: int = 0
    height: int = 0
    animated: bool = False
    golden: str | None = None
    predicted: str | None = None
    blanked: str | None = None
    boxes: str | None = None
    golden_area: float | None = None
    iou: float | None = None
    problem: str | None = None
    mask_problem: str | None = None


@dataclass(frozen=True)
class Card:
    """One sample as the page shows it."""

    joined: Joined
    outcome: str
    picture: Picture
    prompt: str | None
    golden_texts: tuple[str, ...]
    predicted_text: str | None
    verdicts: tuple[tuple[str, Verdict], ...]
    claims: tuple[str, ...]


class Choice:
    """Keeps `limit` candidates of each outcome while a run streams past, drawn by the hash of their id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[str, list[tuple[str, int, Joined]]] = {outcome: [] for outcome in OUTCOMES}
        self._seen = 0

    def add(self, j: Joined) -> None:
        """Take in a sample."""
        draw = hashlib.sha256(j.id.encode("utf-8", "replace")).hexdigest()
        kept = self._kept[j.outcome]
        kept.append((draw, self._seen, j))
        self._seen += 1
        if len(kept) > 2 * self._limit:
            kept.sort(key=lambda entry: entry[:2])
            del kept[self._limit :]

    def chosen(self) -> list[Joined]:
        """At most `limit` samples, the outcomes served in turns, in the manifest's order."""
        queues = [sorted(kept, key=lambda entry: entry[:2]) for kept in self._kept.values()]
        picked: list[tuple[str, int, Joined]] = []
        for turn in range(max((len(queue) for queue in queues), default=0)):
            for queue in queues:
                if turn < len(queue) and len(picked) < self._limit:
                    picked.append(queue[turn])
        return [entry[2] for entry in sorted(picked, key=lambda entry: entry[1])]

    @property
    def seen(self) -> int:
        """How many samples streamed past."""
        return self._seen


def choose(joined: Iterable[Joined], limit: int) -> Choice:
    """The choice of the gallery from all samples of a run."""
    choice = Choice(limit)
    for j in joined:
        choice.add(j)
    return choice


def card(j: Joined) -> Card:
    """Everything that the page shows of one sample."""
    golden = j.sample.golden if j.sample else None
    texts: tuple[str, ...] = ()
    if golden is not None:
        texts = tuple(_clip(text) for text in golden.references()[:8])
    return Card(
        joined=j,
        outcome=j.outcome,
        picture=_picture(j),
        prompt=_clip(j.sample.prompt) if j.sample and j.sample.prompt else None,
        golden_texts=texts,
        predicted_text=_clip(j.description.text) if j.description else None,
        verdicts=tuple((v.criterion, v) for v in (j.completeness, j.precision) if v is not None),
        claims=tuple(claim_lines(j.completeness)) if j.completeness else (),
    )


def _picture(j: Joined) -> Picture:
    if j.sample is None:
        return Picture(problem="this row of the manifest could not be read")
    try:
        uri, (width, height) = pictures.thumbnail(j.sample.image)
    except ImageFailure as e:
        return Picture(problem=e.failure("report").message)
    boxes = [f.box for f in j.description.findings if f.box is not None] if j.description else []
    drawn = pictures.outlines(boxes, (width, height)) if boxes else None
    return Picture(uri, width, height, is_animated(j.sample.image), boxes=drawn, **_overlays(j))


def _overlays(j: Joined) -> dict[str, Any]:
    assert j.sample is not None
    found: dict[str, Any] = {}
    raw = j.prediction.rle if j.prediction else None
    try:
        if raw is not None:
            drawn = pictures.overlay(decode(raw), pictures.PREDICTED, hatched=True)
            found["predicted" if j.mask is not None else "blanked"] = drawn
        if j.sample.golden is not None and j.sample.golden.mask is not None:
            gold = golden_mask(j.sample, raw)
            found["golden"] = pictures.overlay(gold, pictures.GOLDEN)
            found["golden_area"] = float(gold.mean())
            if j.gated_known and j.sample.golden.defective:
                found["iou"] = iou(predicted_mask(j.mask, gold.shape), gold)
    except (GoldenMaskFailure, ValueError) as e:
        found["mask_problem"] = str(e)
    return found


def _clip(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} … ({len(text) - LONGEST_TEXT:,} more characters)"
