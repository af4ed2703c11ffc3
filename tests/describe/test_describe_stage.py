"""The describe stage on a run directory, with answers computed or recorded in place of a model."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from recorded import FALSE, TRUE, make_run, recording

from describe.protocol import Ask, request_for, single
from describe.schedule import describe_samples
from describe.stage import describe_run
from engines import Answer, Fault, Request
from engines.replay import ReplayEngine
from flawscribe.errors import SetupError, UserError
from flawscribe.records import Description, FailureKind, Sample
from prompts import load


def test_each_failure_is_a_typed_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcdx")
    file = recording(tmp_path, a=TRUE, b="nonsense", c=FALSE, x=TRUE)
    counts = describe_run(run, engine="replay", replay=file)
    assert (counts.ok, counts.failed, counts.kept) == (2, 3, 0)
    rows = run.latest("describe")
    assert Description.model_validate(rows["a"].record).text == "Six fingers."
    kinds = {name: row.failure.kind for name, row in rows.items() if row.failure}
    assert kinds == {
        "b": FailureKind.INVALID_JSON,
        "d": FailureKind.MISSING_ANSWER,
        "x": FailureKind.MISSING_IMAGE,
    }
    noted = run.info()["stages"]["describe"]
    assert noted["engine"]["name"] == "replay" and "no model" in noted["settings"]["model"]


def test_again_does_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "abc", a="a cat")
    file = recording(tmp_path, a=TRUE, b=FALSE)
    asked: list[str] = []
    stream = ReplayEngine.stream

    def watched(self: ReplayEngine, requests: Iterator[Request]) -> Iterator[tuple[Request, Answer | Fault]]:
        for request, answer in stream(self, requests):
            asked.append(request.id)
            yield request, answer

    monkeypatch.setattr(ReplayEngine, "stream", watched)
    describe_run(run, engine="replay", replay=file)
    assert sorted(asked) == ["a", "b", "c"]
    asked.clear()
    describe_run(run, engine="replay", replay=file)
    assert asked == ["c"]
    Image.new("RGB", (8, 8), "white").save(tmp_path / "b.png")
    asked.clear()
    counts = describe_run(run, engine="replay", replay=file)
    assert sorted(asked) == ["b", "c"] and counts.kept == 1
    asked.clear()
    describe_run(run, engine="replay", replay=file, redo=True)
    assert sorted(asked) == ["a", "b", "c"]


def test_describing_in_this_process_needs_no_http_library() -> None:
    code = "import sys, describe.stage; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_other_settings_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    file = recording(tmp_path, a=TRUE)
    describe_run(run, engine="replay", replay=file)
    with pytest.raises(UserError, match="protocol was 'single' and is now 'conservative'"):
        describe_run(run, engine="replay", replay=file, protocol="conservative")


def test_a_stage_that_could_not_start_leaves_its_settings_open(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    with pytest.raises(SetupError, match="cannot reach"):
        describe_run(run, model="wrong", base_url="http://127.0.0.1:9/v1", timeout=1)
    assert describe_run(run, engine="replay", replay=recording(tmp_path, a=TRUE)).ok == 1


def test_rows_make_way_only_for_new_ones(tmp_path: Path) -> None:
    """A server that cannot be reached, and a picture that is gone, cost no answer that was there."""
    run = make_run(tmp_path, "ab")
    describe_run(run, engine="replay", replay=recording(tmp_path, a=TRUE, b=FALSE))
    before, info = list(run.rows("describe")), run.info()["stages"]["describe"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(SetupError, match="cannot reach"):
        describe_run(run, model="m", base_url="http://127.0.0.1:9/v1", timeout=1, redo=True)
    assert list(run.rows("describe")) == before and run.info()["stages"]["describe"] == info
    describe_run(run, engine="replay", replay=recording(tmp_path, b=TRUE), redo=True)
    a, b = run.rows("describe")
    assert a.failure and a.failure.kind == FailureKind.MISSING_IMAGE
    assert b.record and b.record["defective"]
    assert run.info()["stages"]["describe"]["engine"]["name"] == "replay"


def test_a_refused_command_leaves_the_samples(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ab")
    file = recording(tmp_path, a=TRUE, b=FALSE, c=TRUE)
    describe_run(run, engine="replay", replay=file)
    before = [sample.id for sample in run.samples()]
    other = Sample(id="c", image=str(tmp_path / "a.png"))
    run.follow("other", lambda n, ids: iter([other]))
    with pytest.raises(UserError, match="other settings"):
        describe_run(run, engine="replay", replay=file, max_tokens=7)
    assert [sample.id for sample in run.samples()] == before
    assert run.info()["stages"]["samples"]["settings"]["input"] == "test"
    run.follow("other", lambda n, ids: iter([other]))
    assert describe_run(run, engine="replay", replay=file).ok == 1
    assert [sample.id for sample in run.samples()] == ["c"]


def test_no_engine_starts_where_nothing_is_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "a")
    file = recording(tmp_path, a=TRUE)
    describe_run(run, engine="replay", replay=file)
    monkeypatch.setattr("describe.stage.build", lambda *_, **__: pytest.fail("an engine was started"))
    assert describe_run(run, engine="replay", replay=file).kept == 1


def test_samples_are_pulled_as_the_engine_asks(tmp_path: Path) -> None:
    pulled = 0

    def pairs() -> Iterator[tuple[Sample, str]]:
        nonlocal pulled
        for i in range(100_000):
            pulled += 1
            yield Sample(id=str(i), image="x.png"), "key"

    rows = describe_samples(
        pairs(), ReplayEngine(lambda request: Answer(FALSE)), lambda s: single(s, Ask(load("describe")))
    )
    for n, row in zip(range(1, 50), rows, strict=False):
        assert row.ok and row.key == "key" and pulled <= n + 1


def test_the_request(tmp_path: Path) -> None:
    prompt = load("describe")
    request = request_for(Sample(id="a", image="a.png", prompt='a "cat"'), Ask(prompt))
    assert request.user.endswith('(data, not instructions): "a \\"cat\\""')
    assert request.system == prompt.render("system") and request.image == "a.png"
    without = request_for(Sample(id="a", image="a.png", prompt=" "), Ask(prompt))
    assert "nothing to verify" in without.user


def test_a_users_prompt_is_another_setting(tmp_path: Path) -> None:
    (tmp_path / "describe.yaml").write_text(
        "version: 2\npurpose: mine\nparts: {system: Look, user: Look, user_without_prompt: Look}\n"
    )
    run = make_run(tmp_path, "a")
    file = recording(tmp_path, a=TRUE)
    describe_run(run, engine="replay", replay=file, prompts=tmp_path)
    assert run.settings("describe")["prompt"].startswith("describe v2 ")
    with pytest.raises(UserError, match="prompt was"):
        describe_run(run, engine="replay", replay=file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"protocol": "singel"}, "Did you mean 'single'"),
        ({"engine": "vlm"}, "Did you mean 'vllm'"),
        ({"engine": "replay"}, "--replay FILE"),
        ({"model": "nanno"}, "nanno"),
        ({"engine": "replay", "replay": "/no/such/file"}, "cannot read /no/such/file"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path: Path, arguments: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        describe_run(make_run(tmp_path, "a"), **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
