"""Estimates: against what the run then takes, for every protocol; and what is said where nobody knows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_server import completion, serving
from PIL import Image
from recorded import FALSE, TRUE, make_run, recording

from describe.estimate import _asked, estimate, lines
from describe.protocols import PROTOCOLS
from describe.stage import describe_run, describing
from engines import Answer
from flawscribe.errors import UserError
from flawscribe.inputs import looking_at
from flawscribe.records import Description
from flawscribe.runs import Run

SERVED = {"model": "gpt-4o", "base_url": "http://127.0.0.1:9/v1"}


def large(folder: Path, names: str) -> Run:
    run = make_run(folder, names)
    for name in names:
        Image.new("RGB", (300, 200), "red").save(folder / f"{name}.png")
    return run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("defective", [False, True])
def test_a_plan_is_followed_to_its_end(protocol: str, defective: bool, tmp_path: Path) -> None:
    """The answers that estimates suppose are ones that each protocol takes."""
    how = describing(protocol=protocol, **SERVED)
    run = large(tmp_path, "a")
    (sample,) = run.samples()
    asked = list(_asked(how.plan(sample.model_copy(update={"prompt": "a cat"})), defective))
    plan = how.plan(sample.model_copy(update={"prompt": "a cat"}))
    requests, answers = next(plan), iter([Answer(text) for _, text in asked])
    with pytest.raises(StopIteration) as end:
        while True:
            requests = plan.send([next(answers) for _ in requests])
    assert isinstance(end.value.value, Description) and end.value.value.defective == defective
    calls = {"single": (1, 1), "conservative": (1, 1), "grounded": (1, 1), "staged": (1, 3), "zoom": (7, 7)}
    assert len(asked) == calls[protocol][defective]


@pytest.mark.parametrize(
    ("protocol", "samples", "calls"), [("single", 1, 1), ("single", 3, 3), ("zoom", 1, 7)]
)
def test_what_is_estimated_is_what_is_sent(tmp_path: Path, protocol: str, samples: int, calls: int) -> None:
    run = large(tmp_path, "abcd")
    asked: dict[str, Any] = {"protocol": protocol, "samples": samples, "temperature": 0.7, "model": "gpt-4o"}
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        found = estimate(run.samples(), None, base_url=server.url, looked_at=2, **asked)
        assert not server.bodies
        describe_run(run, base_url=server.url, quiet=True, **asked)
        sent = sum(len(json.dumps(body)) for body in server.bodies)
        assert found.calls == (len(server.bodies),) * 2 == (4 * calls,) * 2
    assert found.sent_bytes[0] == pytest.approx(sent, rel=0.01)
    assert found.prompt_tokens and found.prompt_tokens[0] > 4 * calls * 255


def test_rows_that_are_there_are_not_asked_again_and_tell_what_rows_take(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcdx")
    with serving(lambda body, n: (400, {}) if n > 1 else (200, completion())) as server:
        describe_run(run, model="gpt-4o", base_url=server.url, quiet=True)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    found = estimate(run.samples(), run, **SERVED)
    assert (found.images, found.done, found.to_ask, found.looked_at, found.unreadable) == (5, 2, 3, 3, 1)
    assert found.prompt_tokens == pytest.approx(
        (22 * 3 / 4,) * 2
    )  # four rows were asked for, two for nothing
    assert "measured on 4 rows" in found.how["calls and tokens"]
    other = estimate(run.samples(), run, protocol="conservative", **SERVED)
    assert other.to_ask == 5 and "--redo" in other.how["settings"]
    assert estimate(run.samples(), run, redo=True, **SERVED).to_ask == 5
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_another_run_can_be_the_measure(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcd")
    with serving(lambda body, n: (200, completion())) as server:
        describe_run(run, model="gpt-4o", base_url=server.url, quiet=True)
    found = estimate(run.samples(), None, measured=run.path, **SERVED)
    assert (found.to_ask, found.calls, found.completion_tokens) == (4, (4, 4), (28, 28))
    with pytest.raises(UserError, match=r"other settings \(max_tokens\)"):
        estimate(run.samples(), None, measured=run.path, max_tokens=9, **SERVED)
    (tmp_path / "other").mkdir()
    empty = make_run(tmp_path / "other", "a")
    describe_run(empty, engine="replay", replay=recording(tmp_path, a=TRUE), quiet=True)
    with pytest.raises(UserError, match="measured nothing"):
        estimate(
            run.samples(), None, measured=empty.path, engine="replay", replay=str(tmp_path / "answers.jsonl")
        )


def test_money(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "currency: EUR\nmodels:\n  gpt-4o: {input: 1000, output: 0, batch_discount: 0.5}\n"
        "  own: {gpu_hour: 36, images_per_second: 2}\n"
    )
    run = make_run(tmp_path, "abcd")
    found = estimate(run.samples(), prices=tmp_path / "p.yaml", **SERVED)
    assert found.cost and found.prompt_tokens
    assert found.cost[0] == pytest.approx(found.prompt_tokens[0] / 1000)
    half = estimate(run.samples(), prices=tmp_path / "p.yaml", batch=True, **SERVED)
    assert half.cost and half.cost[0] == pytest.approx(found.cost[0] / 2)
    own = estimate(run.samples(), prices=tmp_path / "p.yaml", **{**SERVED, "model": "own"})
    assert own.prompt_tokens is None and own.cost == pytest.approx((0.02, 0.02))


def test_what_nobody_knows_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("currency: EUR\nmodels: {who: {input: 1, output: 1}}")
    run = make_run(tmp_path, "ab")
    found = estimate(run.samples(), prices=tmp_path / "p.yaml", **{**SERVED, "model": "who"})
    assert found.prompt_tokens is None and found.cost is None
    told = "\n".join(lines(found))
    assert told.count("unknown") == 3 and "no rule for 'who'" in told


def test_the_sample_is_drawn_from_all_and_the_same_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcdefghij")
    for name in "fghij":
        Image.new("RGB", (2000, 1500), "red").save(tmp_path / f"{name}.png")
    once, again = (estimate(run.samples(), looked_at=6, **SERVED) for _ in range(2))
    assert once == again and once.looked_at == 6 and once.prompt_tokens
    small = 10 * (255 + 300)
    assert once.prompt_tokens[0] > small


def test_nothing_is_written_and_no_run_is_needed(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    command = [sys.executable, "-m", "flawscribe.cli", "describe", str(tmp_path), "--dry-run", "--json"]
    done = subprocess.run(
        [*command, "--model", "gpt-4o", "--engine", "openai", "-o", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls"] == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no images"), looking_at(str(tmp_path / "m.jsonl")):
        pass
