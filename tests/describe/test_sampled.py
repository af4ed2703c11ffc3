"""Several answers to one question, and what they have in common."""

import json
from pathlib import Path

import pytest
from recorded import FALSE, TRUE, make_run, recording

from describe.protocol import Ask, single
from describe.sampled import agreed, sampled
from describe.schedule import describe_samples
from describe.stage import describe_run
from describe.staged import staged
from engines import Answer, Fault, Request
from engines.replay import ReplayEngine
from flawscribe.errors import UserError
from flawscribe.records import Description, FailureKind, Sample, Usage
from prompts import load


def says(text: str = "", p: float | None = None) -> Description:
    return Description(
        defective=bool(text), p_defective=p, text=text, usage=Usage(prompt_tokens=5, completion_tokens=2)
    )


LOST = Fault(FailureKind.TIMEOUT, "no answer")


def test_the_majority_decides_and_the_nearest_text_speaks() -> None:
    texts = [
        "A sixth finger on the hand.",
        "The hand has a sixth finger.",
        "A dog flies.",
        "The left hand has a sixth finger.",
    ]
    found = agreed([says(text, 0.9) for text in texts] + [says(p=0.1), LOST])
    assert isinstance(found, Description) and found.defective
    assert found.text == "The hand has a sixth finger."
    assert found.p_defective == pytest.approx((4 * 0.9 + 0.1) / 5)
    assert found.usage == Usage(prompt_tokens=25, completion_tokens=10)
    assert found.steps["samples"].startswith("4 of 5 say defective; P 0.900,")
    assert found.steps["samples"].endswith("failed: 1 timeout")


@pytest.mark.parametrize(("p", "defective"), [(0.7, True), (0.2, False)])
def test_a_tie_is_decided_by_the_mean_probability(p: float, defective: bool) -> None:
    found = agreed([says("Odd.", p), says(p=p)])
    assert isinstance(found, Description) and found.defective == defective and bool(found.text) == defective


def test_without_probabilities_the_share_of_yes_is_one() -> None:
    found = agreed([says("Odd."), says("Odd."), says()])
    assert isinstance(found, Description) and found.p_defective == pytest.approx(2 / 3)


def test_where_all_fail_the_row_fails() -> None:
    assert agreed([LOST, Fault(FailureKind.REFUSED, "no")]) == LOST


def test_seeds_differ_and_protocols_of_any_length_are_sampled() -> None:
    asked: list[Request] = []
    nothing = json.dumps({"Defective": False, "Findings": []})
    found = json.dumps({"Defective": True, "Findings": [{"What": "a", "Where": "b", "Severity": "slight"}]})

    def respond(request: Request) -> Answer:
        asked.append(request)
        if "You describe the defects" in (request.system or ""):
            return Answer(json.dumps({"Description": f"Seed {request.seed}."}))
        return Answer(nothing if request.seed == 12 else found)

    ask = Ask(load("describe_staged"), temperature=0.7, seed=10)
    pairs = iter([(Sample(id=name, image="x.png"), name) for name in "ab"])
    rows = list(describe_samples(pairs, ReplayEngine(respond), lambda s: sampled(staged, s, ask, 3)))
    assert [row.record and row.record["defective"] for row in rows] == [True, True]
    assert {(r.id, r.seed) for r in asked} == {(name, seed) for name in "ab" for seed in (10, 11, 12)}
    assert len(asked) == 2 * (3 + 2)


def test_one_sample_is_the_protocol_itself() -> None:
    ask = Ask(load("describe"), temperature=0.7)
    plan = sampled(single, Sample(id="a", image="x.png"), ask, 1)
    (request,) = next(plan)
    assert (request.seed, request.temperature) == (0, 0.7)


def test_samples_of_a_greedy_model_are_refused_and_others_a_setting(tmp_path: Path) -> None:
    run, file = make_run(tmp_path, "ab"), recording(tmp_path, a=TRUE, b=FALSE)
    with pytest.raises(UserError, match="needs a temperature above 0"):
        describe_run(run, engine="replay", replay=file, samples=3)
    assert describe_run(run, engine="replay", replay=file, samples=3, temperature=0.7).ok == 2
    with pytest.raises(UserError, match="samples was 3"):
        describe_run(run, engine="replay", replay=file, temperature=0.7)
