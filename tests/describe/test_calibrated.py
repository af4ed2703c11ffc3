"""`--calibration` over every protocol: the threshold decides, and the text is empty exactly where it says no."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from recorded import FALSE, TRUE
from test_calibrate import described, made
from test_staged import ALL_INTENDED, FOUND, KEPT, NOTHING, TOLD, answer

from describe import stage
from describe.calibrate import calibrate
from describe.calibrated import calibrated
from describe.calibration import Calibration, read, write
from describe.grounded import grounded
from describe.protocol import Ask, Plan, single
from describe.sampled import sampled
from describe.schedule import describe_samples
from describe.stage import describe_run, describing
from describe.staged import staged
from describe.zoom import zoom
from engines import Answer, Fault, Request, Token
from engines.replay import ReplayEngine
from flawscribe.errors import UserError
from flawscribe.records import Description, FailureKind, Golden, Row, Sample, Usage
from flawscribe.runs import Run
from prompts import load

SAME = made(temperature=1.0, threshold=0.3)


def said(text: str, p: float | None) -> Answer:
    """An answer whose boolean has the probability `p`."""
    if p is None:
        return Answer(text, usage=Usage(prompt_tokens=10, completion_tokens=1))
    word = "true" if json.loads(text)["Defective"] else "false"
    before, _, after = text.partition(word)
    top = (("true", log(p)), ("false", log(1 - p)))
    tokens = (Token(before, ((before, 0.0),)), Token(word, top), Token(after, ((after, 0.0),)))
    return Answer(text, tokens=tokens, usage=Usage(prompt_tokens=10, completion_tokens=1))


def is_fixed(request: Request) -> bool:
    return (request.schema or {})["properties"].get("Defective", {}).get("enum") == [True]


def outcome(
    plan: Callable[[Sample], Plan],
    respond: Callable[[Request], Answer | Fault],
    used: Calibration = SAME,
    **sample: Any,
) -> tuple[Row, list[Request]]:
    asked: list[Request] = []

    def watched(request: Request) -> Answer | Fault:
        asked.append(request)
        return respond(request)

    one = Sample(**{"id": "a", "image": "a.png", **sample})
    rows = describe_samples(
        iter([(one, "k")]), ReplayEngine(watched), lambda s: calibrated(lambda: plan(s), used)
    )
    (row,) = rows
    if row.record:
        found = Description.model_validate(row.record)
        assert found.defective == bool(found.text)
        assert found.p_defective is None or found.defective == (found.p_defective >= used.threshold)
    return row, asked


def one_call(sample: Sample) -> Plan:
    return single(sample, Ask(load("describe")))


def test_the_probability_is_scaled_and_the_raw_one_kept() -> None:
    row, asked = outcome(one_call, lambda r: said(TRUE, 0.8), made(temperature=2.0, threshold=0.5))
    found = Description.model_validate(row.record)
    assert found.p_defective == pytest.approx(2 / 3) and found.p_raw == pytest.approx(0.8)
    assert found.text == "Six fingers." and len(asked) == 1 and not found.steps


def test_below_the_threshold_the_text_moves_to_the_steps() -> None:
    row, asked = outcome(one_call, lambda r: said(TRUE, 0.6), made(temperature=1.0, threshold=0.7))
    found = Description.model_validate(row.record)
    assert not found.defective and found.steps["below threshold"] == "Six fingers." and len(asked) == 1


def test_at_the_threshold_a_model_that_saw_nothing_is_asked_once_more() -> None:
    row, asked = outcome(one_call, lambda r: said(TRUE, 0.99) if is_fixed(r) else said(FALSE, 0.4))
    found = Description.model_validate(row.record)
    assert found.text == "Six fingers." and found.p_raw == pytest.approx(0.4)
    assert found.steps["calibration"].startswith("asked again with Defective fixed to true: P 0.4")
    assert found.usage == Usage(prompt_tokens=20, completion_tokens=2, calls=2)
    assert len(asked) == 2 and asked[1].schema != asked[0].schema
    assert asked[1].schema and asked[1].schema["properties"]["Description"]["minItems"] == 1
    assert (asked[1].system, asked[1].user) == (asked[0].system, asked[0].user)


def test_an_engine_that_says_no_all_the_same_fails_the_row() -> None:
    row, asked = outcome(one_call, lambda r: said(FALSE, 0.4))
    assert row.failure and row.failure.kind == FailureKind.INVALID_ANSWER and len(asked) == 2
    lost = Fault(FailureKind.TIMEOUT, "late")
    row, _ = outcome(one_call, lambda r: lost if is_fixed(r) else said(FALSE, 0.4))
    assert row.failure and row.failure.kind == FailureKind.TIMEOUT


def test_without_a_probability_the_models_own_answer_stays() -> None:
    row, _ = outcome(one_call, lambda r: said(TRUE, None))
    found = Description.model_validate(row.record)
    assert found.defective and found.p_defective is None and found.p_raw is None
    assert found.steps["calibration"].startswith("not applied")


def staged_call(sample: Sample) -> Plan:
    return staged(sample, Ask(load("describe_staged")))


@pytest.mark.parametrize("nothing_at", ["inspect", "verify"])
def test_staged_goes_on_from_the_step_that_said_no(nothing_at: str) -> None:
    no, yes = {"inspect": NOTHING, "verify": ALL_INTENDED}, {"inspect": FOUND, "verify": KEPT}

    def respond(request: Request) -> Answer:
        step = answer(request.system, {"inspect": "inspect", "verify": "verify", "report": "report"})
        if step == "report":
            return Answer(TOLD)
        if is_fixed(request):
            return said(yes[step], 0.99)
        return said(no[step], 0.6) if step == nothing_at else said(yes[step], 0.9)

    row, asked = outcome(staged_call, respond, prompt="a purple whale")
    found = Description.model_validate(row.record)
    assert found.text == "The hand in the lower left has six fingers." and len(found.findings) == 1
    assert found.p_raw == pytest.approx(0.6 if nothing_at == "inspect" else 0.9 * 0.6)
    assert [is_fixed(r) for r in asked].count(True) == 1 and len(asked) == 4
    assert "whale" not in "".join(
        (r.system or "") + r.user for r in asked if "nothing else" in (r.system or "")
    )
    if nothing_at == "verify":
        fixed = next(r.schema for r in asked if is_fixed(r))
        assert fixed and fixed["properties"]["Intended"]["maxItems"] == 1


def test_staged_findings_below_the_threshold_are_kept() -> None:
    def respond(request: Request) -> Answer:
        text = answer(request.system, {"inspect": FOUND, "verify": KEPT, "report": TOLD})
        return Answer(text) if text == TOLD else said(text, 0.5)

    row, _ = outcome(staged_call, respond, prompt="x")
    found = Description.model_validate(row.record)
    assert not found.defective and not found.findings
    assert json.loads(found.steps["findings below threshold"])[0]["text"] == "The hand has six fingers."


def test_of_a_pictures_parts_only_the_likeliest_is_asked_again(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (128, 128)).save(image)

    def respond(request: Request) -> Answer:
        p = 0.4 if request.box and request.box[:2] == (0, 0) else 0.1
        return said(TRUE, 0.99) if is_fixed(request) else said(FALSE, p)

    row, asked = outcome(lambda s: zoom(s, Ask(load("describe_zoom"))), respond, image=str(image))
    found = Description.model_validate(row.record)
    assert found.text == "In the upper left part: Six fingers."
    assert found.findings[0].box is not None and found.findings[0].box[:2] == (0, 0)
    assert [is_fixed(r) for r in asked].count(True) == 1 and found.p_raw == pytest.approx(0.4)


def test_grounded_is_asked_again_for_at_least_one_box(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (100, 100)).save(image)
    finding = {"What": "Six fingers.", "Where": "left", "Severity": "severe", "Box": [10, 10, 50, 50]}

    def respond(request: Request) -> Answer:
        if is_fixed(request):
            assert request.schema and request.schema["properties"]["Findings"]["minItems"] == 1
            return said(json.dumps({"Defective": True, "Findings": [finding]}), 0.99)
        return said(NOTHING, 0.4)

    row, asked = outcome(lambda s: grounded(s, Ask(load("describe_grounded"))), respond, image=str(image))
    found = Description.model_validate(row.record)
    assert found.text == "Six fingers (left, severe)." and found.findings[0].box is not None
    assert found.p_raw == pytest.approx(0.4) and len(asked) == 2


def test_of_several_samples_as_many_are_asked_again_as_make_a_majority() -> None:
    def respond(request: Request) -> Answer:
        if is_fixed(request):
            return said(TRUE, 0.99)
        return said(TRUE, 0.9) if request.seed == 2 else said(FALSE, 0.2 + request.seed / 100)

    ask = Ask(load("describe"), temperature=0.7)
    row, asked = outcome(lambda s: sampled(single, s, ask, 5), respond)
    found = Description.model_validate(row.record)
    assert found.p_raw == pytest.approx((0.9 + 0.2 + 0.21 + 0.23 + 0.24) / 5)
    assert [r.seed for r in asked if is_fixed(r)] == [4, 3] and len(asked) == 7
    assert found.steps["samples"].startswith("3 of 5 say defective; P 0.200, 0.210, 0.900, 0.230, 0.240")


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """nano's engine is one that gives every image but `3` a P of 0.4 and, unless it must, no defect."""
    asked: list[Request] = []

    def respond(request: Request) -> Answer:
        asked.append(request)
        yes = is_fixed(request) or request.id == "3"
        return said(TRUE if yes else FALSE, 0.9 if request.id == "3" else 0.4)

    monkeypatch.setattr(stage, "build", lambda *a, **k: (ReplayEngine(respond), "computed"))
    return asked


def test_a_run_with_a_calibration(tmp_path: Path, answered: list[Request]) -> None:
    settings = describing(model="nano").settings
    run = described(tmp_path, [True, False, True, False] * 10, [0.7, 0.2, 0.8, 0.6] * 10, settings)
    file = tmp_path / "c.json"
    write(calibrate(run).calibration, file)
    lines: list[str] = []
    (tmp_path / "new.png").write_bytes((tmp_path / "0.png").read_bytes())
    Image.new("RGB", (9, 9)).save(tmp_path / "3.png")
    other = Run.create(tmp_path / "other")
    pictures = [("0", "new.png"), ("3", "3.png")]
    other.set_samples(
        "t",
        [Sample(id=id, image=str(tmp_path / name), golden=Golden(defective=True)) for id, name in pictures],
    )
    assert describe_run(other, calibration=file, tell=lines.append).ok == 2
    assert any("fitted on 1 of these 2 pictures" in line for line in lines)
    noted = other.info()["stages"]["describe"]
    assert noted["calibration"] == {"described": 2, "fitted_on": 1, "without_probability": 0}
    assert noted["settings"]["calibration"] == read(file).settings()
    asked = len(answered)
    assert describe_run(other, calibration=file).kept == 2 and len(answered) == asked
    with pytest.raises(UserError, match="calibration was"):
        describe_run(other)
    with pytest.raises(UserError, match="fitted for another protocol"):
        describe_run(other, calibration=file, protocol="conservative")
