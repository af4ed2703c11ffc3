"""`--calibration`: any protocol's plan, with its P(defective) calibrated and its verdict by the threshold.

The text must be empty exactly where the verdict is no. So what a model describes below the threshold moves to `steps`;
and where P is at or above the threshold but the model saw no defect, it is asked again with `Defective` fixed to true.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from describe.calibration import Calibration
from describe.probability import p_defective
from describe.protocol import STAGE, Plan
from describe.wire import read_object
from engines.base import Answer, Fault, Request
from flawscribe.digests import Digests
from flawscribe.images import ImageFailure
from flawscribe.records import Description, FailureKind
from flawscribe.runs import Run, record_of
from flawscribe.schemas import Schema

_ANYTHING = Schema({})
Known = dict[Request, Answer | Fault]


def calibrated(plan: Callable[[], Plan], calibration: Calibration) -> Plan:
    """The outcome of a sample's plan under a calibration. `plan` begins the sample's plan anew at each call.

    The row keeps the model's own probability as `p_raw`. Without one there is nothing to calibrate: then the model's
    own yes or no stays, and `steps` say so.
    """
    known: Known = {}
    found = yield from _going_on(plan(), known)
    if isinstance(found, Fault):
        return found
    if found.p_defective is None:
        return _noted(found, "not applied: the engine gave no probability")
    raw, p = found.p_defective, calibration.probability(found.p_defective)
    if p >= calibration.threshold and not found.defective:
        found = yield from _asked_again(
            plan, known, found, f"P {p:.4g}, threshold {calibration.threshold:.4g}"
        )
        if isinstance(found, Fault):
            return found
    elif p < calibration.threshold and found.defective:
        found = _below(found)
    return found.model_copy(update={"p_defective": p, "p_raw": raw})


def note(run: Run, used: Calibration, digests: Digests, tell: Callable[[str], None] | None) -> None:
    """Record, and tell, how many of the run's pictures the calibration was fitted on, and where it was not applied."""
    fitted_on = without = n = 0
    fitted, row_of = set(used.images), run.lookup(STAGE)
    for sample in run.samples():
        row = row_of(sample.id)
        if row is None or not row.ok:
            continue
        n += 1
        without += record_of(row, Description, STAGE).p_raw is None
        with contextlib.suppress(ImageFailure):
            fitted_on += digests.digest(sample.image)[:16] in fitted
    run.note(STAGE, calibration={"described": n, "fitted_on": fitted_on, "without_probability": without})
    if tell and fitted_on:
        tell(
            f"calibration: it was fitted on {fitted_on} of these {n} pictures: figures of this run will flatter it"
        )
    if tell and without:
        tell(f"calibration: {without} of {n} rows have no P(defective) and keep the model's own yes or no")


def _below(found: Description) -> Description:
    """What was described of an image that the threshold calls flawless is told in `steps` alone."""
    steps = {**found.steps, "below threshold": found.text}
    if found.findings:
        told = [finding.model_dump(mode="json", exclude_none=True) for finding in found.findings]
        steps["findings below threshold"] = json.dumps(told, ensure_ascii=False)
    return found.model_copy(update={"defective": False, "text": "", "findings": (), "steps": steps})


def _asked_again(plan: Callable[[], Plan], known: Known, first: Description, why: str) -> Plan:
    """Have the plan come to a yes: of its answers that said no, the one with the highest P is fixed to true.

    The plan is gone through again with the answers that are known, so that only what follows from the changed answer is
    asked anew. Where it still comes to no (a majority of several, findings that verifying strikes out), the next no is
    fixed too. The changed answer keeps its first P: that of a fixed word is 1 and says nothing.
    """
    fixed, found = set[Request](), first
    while not found.defective:
        noes = [
            no for request, answer in known.items() if request not in fixed and (no := _no(request, answer))
        ]
        if not noes:
            told = "no description came of asking again with Defective fixed to true"
            return Fault(FailureKind.INVALID_ANSWER, f"{told} ({why}): does the engine constrain answers?")
        no = max(noes, key=lambda no: no.p)
        fixed.add(no.request)
        (answer,) = yield [replace(no.request, schema=_yes(no.request.schema or {}, no.said))]
        if isinstance(answer, Fault):
            return answer
        known[no.request] = replace(answer, tokens=no.answer.tokens)
        again = yield from _going_on(plan(), known)
        if isinstance(again, Fault):
            return again
        found = again
    return _noted(found, f"asked again with Defective fixed to true: {why}")


def _going_on(plan: Plan, known: Known) -> Plan:
    """Go through a plan, asking what is not `known` yet, and put it there."""
    try:
        requests = next(plan)
        while True:
            new = [request for request in requests if request not in known]
            if new:
                known.update(zip(new, (yield new), strict=True))
            requests = plan.send([known[request] for request in requests])
    except StopIteration as end:
        outcome: Description | Fault = end.value
        return outcome


@dataclass(frozen=True)
class _No:
    """An answer that said no: to what, in which words, with which P(defective)."""

    request: Request
    answer: Answer
    said: dict[str, Any]
    p: float


def _no(request: Request, answer: Answer | Fault) -> _No | None:
    """The answer as a no to whether the image is defective, None where it is something else."""
    asks = "Defective" in (request.schema or {}).get("properties", {})
    if isinstance(answer, Fault) or not asks or not isinstance(answer.text, str):
        return None
    read = read_object(answer.text, _ANYTHING)
    if isinstance(read, Fault) or read[0].get("Defective") is not False:
        return None
    return _No(request, answer, read[0], p_defective(answer.tokens) or 0.0)


def _yes(schema: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The schema with `Defective` fixed to true, and with lists that allow it.

    A list that the no left empty (descriptions, findings) must hold something; one that it filled (findings that are
    intended, where that makes an image flawless) must hold less.
    """
    properties = dict(schema["properties"])
    properties["Defective"] = {"type": "boolean", "enum": [True]}
    for name, value in said.items():
        if isinstance(value, list) and name in properties:
            bound = {"maxItems": len(value) - 1} if value else {"minItems": 1}
            properties[name] = {**properties[name], **bound}
    return {**schema, "properties": properties}


def _noted(found: Description, note: str) -> Description:
    return found.model_copy(update={"steps": {**found.steps, "calibration": note}})
