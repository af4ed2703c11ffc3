"""The whole picture, and each part at its own resolution: small defects are lost when a picture is scaled down."""

import re
from dataclasses import dataclass, replace

from describe.protocol import Ask, Plan, added, described, request_for, together
from describe.tiles import overlap, tiles, whereabouts
from engines.base import Fault
from flawscribe.images import Box, ImageFailure, load_image
from flawscribe.records import Description, Finding, Sample

ALIKE = 0.5
"""Share of the shorter text's words that both texts have, from which two views of one place tell the same defect."""
_WORD = re.compile(r"\w{4,}")


@dataclass(frozen=True)
class _View:
    """What one view of the picture showed."""

    box: Box
    where: str
    found: Description


def zoom(sample: Sample, ask: Ask) -> Plan:
    """Ask about the whole and about overlapping tiles (see `describe.tiles`) side by side, and merge what is found.

    Defective is what one view calls so, P(defective) the largest of the views'. A tile's finding that a view before it
    tells in much the same words, of a place that both show, is left out. Where the whole fails, the row fails; a
    tile that fails is told in `steps`.
    """
    try:
        width, height = load_image(sample.image).size
    except ImageFailure as e:
        return Fault(e.kind, str(e))
    whole, boxes = request_for(sample, ask), tiles(width, height)
    places = [whereabouts(box, width, height) for box in boxes]
    details = [
        replace(whole, box=box, system=f"{whole.system}\n\n{ask.prompt.render('detail', where=place)}")
        for box, place in zip(boxes, places, strict=True)
    ]
    first, *rest = yield from together([described(request) for request in (whole, *details)])
    if isinstance(first, Fault):
        return first
    views = [_View((0, 0, width, height), "", first)]
    failed = []
    for box, place, outcome in zip(boxes, places, rest, strict=True):
        if isinstance(outcome, Fault):
            failed.append(f"{place}: {outcome.kind.value}")
        else:
            views.append(_View(box, place, outcome))
    return _merged(views, failed)


def _merged(views: list[_View], failed: list[str]) -> Description:
    first = views[0].found
    kept: list[_View] = []
    for view in (views[0], *sorted(views[1:], key=lambda v: -(v.found.p_defective or 0))):
        if view.found.defective and not any(
            overlap(view.box, v.box) and _alike(view.found.text, v.found.text) for v in kept
        ):
            kept.append(view)
    told = [p for view in views if (p := view.found.p_defective) is not None]
    steps = {**first.steps, "views": f"the whole and {len(views) - 1 + len(failed)} tiles"}
    if failed:
        steps["failed views"] = "; ".join(failed)
    return Description(
        defective=bool(kept),
        p_defective=max(told) if len(told) == len(views) else None,
        text=" ".join(f"In the {v.where} part: {v.found.text}" if v.where else v.found.text for v in kept),
        findings=tuple(
            Finding(text=v.found.text, location=v.where or None, box=tuple(map(float, v.box))) for v in kept
        ),
        steps=steps,
        usage=added(*(view.found.usage for view in views)),
    )


def _alike(a: str, b: str) -> bool:
    """Whether two texts have half of the shorter one's words of four letters or more in common."""
    x, y = set(_WORD.findall(a.lower())), set(_WORD.findall(b.lower()))
    return len(x & y) >= ALIKE * max(min(len(x), len(y)), 1)
