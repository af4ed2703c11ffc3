"""The three-step protocol in one call, with a box around each defect."""

import json
from dataclasses import replace
from typing import Any

from describe.boxes import Convention, Pixels
from describe.probability import p_defective
from describe.protocol import Ask, Plan, described, request_for
from describe.wire import MOST_FINDINGS, NO_TEXT, SEVERITY, TEXT, agreement, object_schema, read_object
from engines.base import Answer, Fault, Request
from flawscribe.errors import is_text
from flawscribe.images import ImageFailure, shown_size
from flawscribe.records import Description, FailureKind, Finding, Sample
from flawscribe.schemas import Schema


def schema(number: dict[str, Any]) -> dict[str, Any]:
    """The wire format, with boxes of four such numbers: `Defective` agrees with the list, checked after decoding."""
    box = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
    finding = object_schema(What=TEXT, Where=TEXT, Severity=SEVERITY, Box=box)
    findings = {"type": "array", "items": finding, "maxItems": MOST_FINDINGS}
    return object_schema(Defective={"type": "boolean"}, Findings=findings)


_VALIDATOR = Schema(schema({"type": "number"}))
"""Of answers: a corner may lie a little outside, which a server that holds the model to the schema does not allow."""


def grounded(sample: Sample, ask: Ask) -> Plan:
    """Ask once for a list of defects with boxes in the model's own convention, and put the boxes into pixels.

    P(defective) is that of the one boolean, as in `single`. A corner up to 5 % of a side outside the picture is moved
    to its edge; a box farther outside or without area makes the answer invalid (it is asked for once more).
    """
    try:
        size, shown = shown_size(sample.image), shown_size(sample.image, None, ask.max_pixels)
    except ImageFailure as e:
        return Fault(e.kind, str(e))

    request = _request(sample, ask, shown)
    return (yield from described(request, lambda a: _description(a, ask.boxes, size, shown)))


def _request(sample: Sample, ask: Ask, size: tuple[int, int]) -> Request:
    """As for `single`, with the convention told among the instructions, and a size in pixels before the prompt."""
    boxes = ask.boxes
    plain = request_for(sample, ask, boxes=ask.prompt.render(f"boxes_{boxes.name}"))
    width, height = boxes.sides(*size)
    told = "" if boxes.scale else ask.prompt.render("size", width=str(width), height=str(height)) + " "
    return replace(plain, user=told + plain.user, schema=schema(boxes.number()))


def _description(
    answer: Answer, boxes: Convention, size: tuple[int, int], shown: tuple[int, int]
) -> Description | Fault:
    read = read_object(answer.text, _VALIDATOR)
    if isinstance(read, Fault):
        return read
    found, notes = read
    if why := agreement(found) or ("" if is_text(json.dumps(found, ensure_ascii=False)) else NO_TEXT):
        return Fault(FailureKind.INVALID_ANSWER, why)
    findings = []
    for n, entry in enumerate(found["Findings"], 1):
        box = boxes.pixels(entry["Box"], *size, shown)
        if isinstance(box, str):
            return Fault(FailureKind.INVALID_ANSWER, f"finding {n}: {box}")
        if not entry["What"].strip():
            return Fault(FailureKind.INVALID_ANSWER, f"finding {n} does not say what is wrong")
        findings.append(_finding(entry, box))
    return Description(
        defective=found["Defective"],
        p_defective=p_defective(answer.tokens),
        text=" ".join(_told(finding) for finding in findings),
        findings=tuple(findings),
        steps=notes,
    )


def _finding(entry: dict[str, Any], box: Pixels) -> Finding:
    where = " ".join(entry["Where"].split())
    return Finding(
        text=" ".join(entry["What"].split()), location=where or None, box=box, severity=entry["Severity"]
    )


def _told(finding: Finding) -> str:
    """A finding as a sentence of the description."""
    about = ", ".join(word for word in (finding.location, finding.severity) if word)
    return f"{finding.text.rstrip('.')} ({about})."
