"""The three-step protocol in three calls: inspect, verify, describe.

The inspecting request is built by a function that is not given the sample's prompt. Where the prompt is not known
there is nothing to verify against, and where the inspection finds nothing there is nothing to verify or describe.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from describe.probability import p_defective
from describe.protocol import Ask, Asking, Got, Plan, added, asked, prompted
from describe.wire import MOST_FINDINGS, NO_TEXT, SEVERITY, TEXT, agreement, object_schema, read_object
from engines.base import Answer, Fault, Request
from flawscribe.errors import is_text
from flawscribe.records import Description, FailureKind, Finding, Sample
from flawscribe.schemas import Schema
from prompts.loader import quote

_FINDING = object_schema(What=TEXT, Where=TEXT, Severity=SEVERITY)
INSPECT = object_schema(
    Defective={"type": "boolean"}, Findings={"type": "array", "items": _FINDING, "maxItems": MOST_FINDINGS}
)
_INTENDED = object_schema(Finding={"type": "integer", "minimum": 1, "maximum": MOST_FINDINGS}, Why=TEXT)
VERIFY = object_schema(
    Intended={"type": "array", "items": _INTENDED, "maxItems": MOST_FINDINGS}, Defective={"type": "boolean"}
)
REPORT = object_schema(Description={"type": "string", "minLength": 1, "maxLength": 4000})
_SCHEMAS = {"inspect": INSPECT, "verify": VERIFY, "report": REPORT}
_VALIDATORS = {step: Schema(schema) for step, schema in _SCHEMAS.items()}


Found = dict[str, Any]


@dataclass(frozen=True)
class _Step:
    """A step's valid answer, as it was read and as it was written, with its P(defective)."""

    found: Found
    text: str
    p: float | None


def staged(sample: Sample, ask: Ask) -> Plan:
    """Inspect without the prompt, drop what the prompt intends, describe what remains.

    P(defective) is the product of both booleans' probabilities: that something was found, and that something
    of it remains.
    """
    got = yield from _asked(inspecting(sample.id, sample.image, ask), "inspect", agreement)
    if isinstance(got, Fault):
        return got
    first = got.found
    findings, p, usage, steps = first.found["Findings"], first.p, got.usage, _noted("inspect", got)
    if findings and prompted(sample):
        request = _request(sample, ask, "verify", prompt=sample.prompt or "", findings=_told(findings))
        got = yield from _asked(request, "verify", partial(_check_intended, n=len(findings)))
        if isinstance(got, Fault):
            return got
        intended = {entry["Finding"] for entry in got.found.found["Intended"]}
        findings = [finding for i, finding in enumerate(findings, 1) if i not in intended]
        p = p * got.found.p if p is not None and got.found.p is not None else None
        usage, steps = added(usage, got.usage), steps | _noted("verify", got)
    if not findings:
        return Description(defective=False, p_defective=p, steps=steps, usage=usage)
    got = yield from _asked(
        _request(sample, ask, "report", findings=_told(findings)), "report", _check_report
    )
    if isinstance(got, Fault):
        return got
    return Description(
        defective=True,
        p_defective=p,
        text=" ".join(got.found.found["Description"].split()),
        findings=tuple(
            Finding(text=f["What"].strip(), location=f["Where"].strip(), severity=f["Severity"])
            for f in findings
        ),
        steps=steps | _noted("describe", got),
        usage=added(usage, got.usage),
    )


def inspecting(id: str, image: str, ask: Ask) -> Request:
    """The first step's request: it is not given the sample, so that nothing of its prompt can reach it."""
    return _request(Sample(id=id, image=image), ask, "inspect")


def _request(sample: Sample, ask: Ask, step: str, **values: str) -> Request:
    return Request(
        id=sample.id,
        system=ask.prompt.render(f"{step}_system"),
        user=ask.prompt.render(f"{step}_user", **values),
        image=sample.image,
        max_pixels=ask.max_pixels,
        schema=_SCHEMAS[step],
        max_tokens=ask.max_tokens,
        temperature=ask.temperature,
        seed=ask.seed,
    )


def _asked(request: Request, step: str, check: Callable[[Found], str]) -> Asking[Got[_Step] | Fault]:
    """Ask for an object that is valid under the step's schema and that `check` has nothing to say against."""

    def read(answer: Answer) -> _Step | Fault:
        read = read_object(answer.text, _VALIDATORS[step])
        if isinstance(read, Fault):
            return read
        if why := check(read[0]) or ("" if is_text(json.dumps(read[0], ensure_ascii=False)) else NO_TEXT):
            return Fault(FailureKind.INVALID_ANSWER, why)
        return _Step(read[0], answer.text.strip(), p_defective(answer.tokens))

    return (yield from asked(request, read))


def _check_intended(found: Found, n: int) -> str:
    named = {entry["Finding"] for entry in found["Intended"]}
    if any(number > n for number in named):
        return f"finding {max(named)} of {n} is called intended"
    if found["Defective"] == (len(named) < n):
        return ""
    return f"Defective is {json.dumps(found['Defective'])}, with {len(named)} of {n} findings intended"


def _check_report(found: Found) -> str:
    return "" if found["Description"].strip() else "there is no description"


def _told(findings: list[Found]) -> str:
    """The findings as numbered data that no chat template can take for its own tokens."""
    rows = (
        f'{{"Finding": {i}, '
        + ", ".join(f'"{name}": {quote(f[name])}' for name in ("What", "Where", "Severity"))
        + "}"
        for i, f in enumerate(findings, 1)
    )
    return "[" + ", ".join(rows) + "]"


def _noted(step: str, got: Got[_Step]) -> dict[str, str]:
    more = {"reasoning": got.reasoning, "repair": got.repair}
    return {step: got.found.text} | {f"{step} {name}": text for name, text in more.items() if text}
