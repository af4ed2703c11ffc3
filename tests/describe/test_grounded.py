"""Defects with boxes: what the model is asked, and what its answers become."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from recorded import make_run

from describe.boxes import CONVENTIONS
from describe.grounded import grounded
from describe.protocol import Ask, request_for
from describe.schedule import describe_samples
from describe.stage import describe_run, describing
from engines import Answer, Fault, Request, Token
from engines.replay import ReplayEngine
from flawscribe.errors import UserError
from flawscribe.records import Description, FailureKind, Row, Sample
from prompts import load

HAND = {
    "What": "The hand has six fingers.",
    "Where": "lower left",
    "Severity": "severe",
    "Box": [0, 500, 250, 1000],
}
NOTHING = '{"Defective": false, "Findings": []}'


def saying(*findings: Any, defective: bool = True) -> str:
    return json.dumps({"Defective": defective, "Findings": findings})


def outcome(
    folder: Path,
    respond: Callable[[Request], Answer | Fault],
    boxes: str = "0-1000",
    size: tuple[int, int] = (200, 100),
    orientation: int | None = None,
) -> tuple[Row, list[Request]]:
    asked: list[Request] = []

    def noting(request: Request) -> Answer | Fault:
        asked.append(request)
        return respond(request)

    image, exif = Image.new("RGB", size), Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image.save(folder / "a.jpg", exif=exif)
    sample = Sample(id="a", image=str(folder / "a.jpg"), prompt="a cat")
    ask = Ask(load("describe_grounded"), boxes=CONVENTIONS[boxes])
    (row,) = describe_samples(iter([(sample, "k")]), ReplayEngine(noting), lambda s: grounded(s, ask))
    return row, asked


def test_findings_have_boxes_in_pixels_of_the_picture(tmp_path: Path) -> None:
    text = saying(HAND)
    head, word, tail = text.partition("true")
    tokens = (Token(head, ()), Token(word, (("true", -0.105), ("false", -2.303))), Token(tail, ()))
    row, (request,) = outcome(tmp_path, lambda _: Answer(text, tokens=tokens))
    found = Description.model_validate(row.record)
    assert found.findings[0].box == (0.0, 50.0, 50.0, 100.0)
    assert (found.findings[0].text, found.findings[0].severity) == (HAND["What"], "severe")
    assert found.text == "The hand has six fingers (lower left, severe)."
    assert found.defective and found.p_defective == pytest.approx(0.9, abs=1e-3)
    assert request.user == request_for(Sample(id="a", image="a", prompt="a cat"), Ask(load("describe"))).user
    assert "integers from 0 to 1000" in (request.system or "") and request.box is None


def test_boxes_lie_in_the_upright_picture(tmp_path: Path) -> None:
    row, _ = outcome(tmp_path, lambda _: Answer(saying(HAND)), orientation=6)  # 100 wide and 200 high upright
    assert Description.model_validate(row.record).findings[0].box == (0.0, 100.0, 25.0, 200.0)


@pytest.mark.parametrize(
    ("boxes", "told"), [("pixels", "200 pixels wide and 100"), ("resized", "196 pixels wide and 112")]
)
def test_sizes_are_told_before_the_prompt_where_boxes_are_pixels(
    tmp_path: Path, boxes: str, told: str
) -> None:
    row, (request,) = outcome(tmp_path, lambda _: Answer(NOTHING), boxes)
    assert row.ok and told in request.user and request.user.endswith('"a cat"')


def test_the_instructions_are_the_same_for_every_picture(tmp_path: Path) -> None:
    """So that servers compute them once."""
    systems = {
        outcome(tmp_path, lambda _: Answer(NOTHING), "resized", size)[1][0].system
        for size in ((64, 64), (99, 50))
    }
    assert len(systems) == 1


@pytest.mark.parametrize("name", CONVENTIONS)
def test_each_convention_is_told_and_held_to(tmp_path: Path, name: str) -> None:
    _, (request,) = outcome(tmp_path, lambda _: Answer(NOTHING), name)
    told = load("describe_grounded").render(f"boxes_{name}")
    assert told in (request.system or "")
    assert request.schema
    number = request.schema["properties"]["Findings"]["items"]["properties"]["Box"]["items"]
    assert number["maximum"] == {"0-1000": 1000, "0-999": 999, "0-1": 1}.get(name, 99_999)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (saying(), FailureKind.INVALID_ANSWER),
        (saying(HAND, defective=False), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": [0, 0, 10]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": [0, 0, 10, 10, 10]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": [10, 10, 0, 0]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": [0, 0, 4000, 500]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": ["0", 0, 10, 10]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": [True, 0, 10, 10]}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Box": None}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"What": " "}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"What": "\ud800"}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"What": "a" * 601}), FailureKind.INVALID_ANSWER),
        (saying(HAND | {"Severity": "awful"}), FailureKind.INVALID_ANSWER),
        (saying(*[HAND] * 13), FailureKind.INVALID_ANSWER),
        (saying(HAND).replace("250", "1e999"), FailureKind.INVALID_ANSWER),
        (saying(HAND).replace("250", "9" * 4000), FailureKind.INVALID_ANSWER),
        (saying(HAND).replace("250", "9" * 9000), FailureKind.INVALID_JSON),
        (saying(HAND).replace("250", "NaN"), FailureKind.INVALID_JSON),
    ],
)
def test_what_is_not_valid_is_asked_for_once_more_and_fails(
    tmp_path: Path, text: str, kind: FailureKind
) -> None:
    row, asked = outcome(tmp_path, lambda _: Answer(text))
    assert row.failure and row.failure.kind == kind and len(asked) == 2
    row, _ = outcome(tmp_path, lambda request: Answer(saying(HAND) if request.seed else text))
    assert row.record and "answered again" in row.record["steps"]["repair"]


def test_a_picture_that_cannot_be_opened_fails() -> None:
    sample = Sample(id="a", image="none.png")
    engine = ReplayEngine(lambda _: Answer(NOTHING))
    (row,) = describe_samples(
        iter([(sample, "k")]), engine, lambda s: grounded(s, Ask(load("describe_grounded")))
    )
    assert row.failure and row.failure.kind == FailureKind.MISSING_IMAGE


def test_the_convention_is_a_setting(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"id": "a", "text": NOTHING}))
    how: dict[str, Any] = {"engine": "replay", "replay": str(answers), "protocol": "grounded"}
    assert describe_run(run, **how).ok == 1
    assert run.settings("describe")["boxes"] == "0-1000"
    with pytest.raises(UserError, match="boxes was '0-1000' and is now '0-1'"):
        describe_run(run, **how, boxes="0-1")
    with pytest.raises(UserError, match="--boxes is for --protocol grounded"):
        describing(boxes="0-1")
