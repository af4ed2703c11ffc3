"""Protocols of several calls: what each call is given, and what becomes of their answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import completion, serving
from recorded import FALSE, TRUE, make_run

from describe.protocol import Ask, Plan, single
from describe.schedule import describe_samples
from describe.stage import describe_run
from describe.staged import staged
from engines import Answer, Fault, Request
from engines.replay import ReplayEngine
from flawscribe.records import Description, FailureKind, Row, Sample
from prompts import load

HAND = {"What": "The hand has six fingers.", "Where": "lower left", "Severity": "severe"}
FIRE = {"What": "A fire burns under water.", "Where": "centre", "Severity": "moderate"}
FOUND = json.dumps({"Defective": True, "Findings": [HAND, FIRE]})
NOTHING = json.dumps({"Defective": False, "Findings": []})
KEPT = json.dumps({"Intended": [{"Finding": 2, "Why": "The prompt asks for it."}], "Defective": True})
ALL_INTENDED = json.dumps(
    {"Intended": [{"Finding": i, "Why": "Asked for."} for i in (1, 2)], "Defective": False}
)
TOLD = json.dumps({"Description": "The hand in the lower left\nhas six fingers."})


def answer(found: Any, steps: dict[str, Any]) -> Any:
    """The answer of the step that a request's instructions belong to."""
    step = "inspect" if "nothing else" in found else "verify" if "second reader" in found else "report"
    return steps[step]


def outcome(prompt: str | None, **steps: str) -> tuple[Row, list[Request]]:
    asked: list[Request] = []

    def respond(request: Request) -> Answer:
        asked.append(request)
        return Answer(answer(request.system, steps))

    ask = Ask(load("describe_staged"))
    sample = Sample(id="a", image="a.png", prompt=prompt)
    (row,) = describe_samples(iter([(sample, "k")]), ReplayEngine(respond), lambda s: staged(s, ask))
    return row, asked


def test_what_the_prompt_intends_is_dropped_and_the_rest_described() -> None:
    row, asked = outcome("a fire under water", inspect=FOUND, verify=KEPT, report=TOLD)
    found = Description.model_validate(row.record)
    assert found.defective and found.text == "The hand in the lower left has six fingers."
    assert [(f.text, f.location, f.severity) for f in found.findings] == [tuple(HAND.values())]
    assert found.steps == {"inspect": FOUND, "verify": KEPT, "describe": TOLD}
    assert len(asked) == 3
    assert "a fire under water" not in (asked[0].system or "") + asked[0].user
    assert '"a fire under water"' in asked[1].user and FIRE["What"] in asked[1].user
    assert FIRE["What"] not in asked[2].user and HAND["What"] in asked[2].user


@pytest.mark.parametrize(
    ("prompt", "inspect", "calls", "defective"),
    [("x", NOTHING, 1, False), (None, FOUND, 2, True), (" ", FOUND, 2, True), ("x", FOUND, 2, False)],
)
def test_steps_with_nothing_to_do_are_left_out(
    prompt: str | None, inspect: str, calls: int, defective: bool
) -> None:
    row, asked = outcome(prompt, inspect=inspect, verify=ALL_INTENDED, report=TOLD)
    assert row.record and row.record["defective"] == defective and len(asked) == calls


@pytest.mark.parametrize(
    ("step", "bad", "kind"),
    [
        ("inspect", '{"Defective": true, "Findings": []}', FailureKind.INVALID_ANSWER),
        ("inspect", "I see a hand.", FailureKind.INVALID_JSON),
        ("inspect", '{"Defective": false, "Findings": [{"What": "a"}]}', FailureKind.INVALID_ANSWER),
        (
            "verify",
            '{"Intended": [{"Finding": 3, "Why": "a"}], "Defective": true}',
            FailureKind.INVALID_ANSWER,
        ),
        ("verify", '{"Intended": [], "Defective": false}', FailureKind.INVALID_ANSWER),
        ("report", '{"Description": " "}', FailureKind.INVALID_ANSWER),
        ("report", '{"Description": "\\ud800"}', FailureKind.INVALID_ANSWER),
        ("report", "", FailureKind.EMPTY_ANSWER),
    ],
)
def test_a_step_that_goes_wrong_is_asked_once_more_and_fails_the_row(
    step: str, bad: str, kind: FailureKind
) -> None:
    row, asked = outcome("x", **{"inspect": FOUND, "verify": KEPT, "report": TOLD, step: bad})
    assert row.failure and row.failure.kind == kind
    first, again = asked[-2:]
    assert (first.user, first.seed + 1) == (again.user, again.seed) and again.temperature > first.temperature


def repairing(respond: Callable[[Request], Answer | Fault]) -> Row:
    sample = Sample(id="a", image="a.png")
    plan = single(sample, Ask(load("describe")))
    (row,) = describe_samples(iter([(sample, "k")]), ReplayEngine(respond), lambda s: plan)
    return row


def test_a_second_attempt_that_succeeds_says_so() -> None:
    row = repairing(
        lambda request: Answer(TRUE if request.seed else "{", "stop" if request.seed else "length")
    )
    found = Description.model_validate(row.record)
    assert found.defective and found.steps["repair"].startswith("answered again with seed 1")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("{" + " " * 200, FailureKind.WHITESPACE_LOOP), (TRUE[:-3], FailureKind.TRUNCATED)],
)
def test_white_space_without_end_is_told_from_a_long_answer(text: str, kind: FailureKind) -> None:
    row = repairing(lambda request: Answer(text, "length"))
    assert row.failure and row.failure.kind == kind


def test_a_refusal_is_not_asked_again() -> None:
    asked = []

    def respond(request: Request) -> Answer:
        asked.append(request)
        return Answer("I cannot help with that.")

    row = repairing(respond)
    assert row.failure and row.failure.kind == FailureKind.REFUSED and len(asked) == 1


def test_the_prompt_is_not_on_the_wire_while_the_image_is_inspected(tmp_path: Path) -> None:
    """The whole stage over a server: forty samples in flight together, each with a prompt that is only its own."""
    names = [f"s{i}" for i in range(40)]
    run = make_run(tmp_path, names, **{name: f"secret of {name}" for name in names})
    steps = {"inspect": FOUND, "verify": KEPT, "report": TOLD}

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        return 200, completion(answer(body["messages"][0]["content"], steps))

    with serving(respond) as server:
        counts = describe_run(run, base_url=server.url, model="m", protocol="staged", window=8)
    assert (counts.ok, counts.failed) == (40, 0)
    assert len(server.bodies) == 120
    for body in server.bodies:
        inspecting = "nothing else" in body["messages"][0]["content"]
        reporting = "which has been verified" in body["messages"][0]["content"]
        assert ("secret" in json.dumps(body)) == (not inspecting and not reporting)


def test_a_plan_that_asks_nothing_has_its_row() -> None:
    def nothing(sample: Sample) -> Plan:
        yield from ()
        return Fault(FailureKind.MISSING_IMAGE, "gone")

    pairs = iter([(Sample(id=name, image="x.png"), name) for name in "ab"])
    rows = describe_samples(pairs, ReplayEngine(lambda request: Answer(FALSE)), nothing)
    assert [(row.id, row.ok) for row in rows] == [("a", False), ("b", False)]


def test_plans_of_different_lengths_share_an_engine() -> None:
    ask, whole = Ask(load("describe_staged")), Ask(load("describe"))

    def respond(request: Request) -> Answer:
        steps = {"inspect": NOTHING if request.id in "bd" else FOUND, "verify": KEPT, "report": TOLD}
        return Answer(
            FALSE if request.system == whole.prompt.render("system") else answer(request.system, steps)
        )

    samples = [(Sample(id=name, image="x.png", prompt="p"), name) for name in "abcdef"]
    rows = list(
        describe_samples(
            iter(samples),
            ReplayEngine(respond),
            lambda s: single(s, whole) if s.id == "c" else staged(s, ask),
        )
    )
    assert {row.id: bool(row.record and row.record["defective"]) for row in rows} == {
        name: name in "aef" for name in "abcdef"
    }
