"""Batch files: what is written, and what becomes of the lines that come back."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_server import completion, serving
from recorded import FALSE, TRUE, make_run

from describe import batch
from describe.command import describe
from describe.stage import describe_run, emit_batch
from flawscribe.errors import UserError
from flawscribe.records import FailureKind
from flawscribe.runs import Run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answered(request: dict[str, Any], text: str = TRUE) -> dict[str, Any]:
    return {
        "id": "batch_req_1",
        "custom_id": request["custom_id"],
        "response": {"status_code": 200, "request_id": "r", "body": completion(text)},
        "error": None,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def emitted(run: Run, path: Path, **asked: Any) -> list[dict[str, Any]]:
    (file,), n = emit_batch(run, path, model="m", **asked)
    found = lines(file)
    assert len(found) == n
    return found


def test_a_batch_asks_what_a_server_is_asked(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abx", a="a cat")
    requests = emitted(run, tmp_path / "b.jsonl", params={"top_p": 0.5})
    assert [r["method"] + " " + r["url"] for r in requests] == ["POST /v1/chat/completions"] * 2
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        describe_run(run, model="m", base_url=server.url, params={"top_p": 0.5})
    assert sorted(map(json.dumps, server.bodies)) == sorted(json.dumps(r["body"]) for r in requests)
    assert emit_batch(run, tmp_path / "c.jsonl", model="m", params={"top_p": 0.5}) == (
        [],
        0,
    )  # all are answered


def test_answers_find_their_rows_and_each_fault_its_kind(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcdefx")
    requests = emitted(run, tmp_path / "b.jsonl")
    back = [answered(request) for request in requests]
    back[1] = answered(requests[1], "nonsense")
    back[2] = {**back[2], "response": None, "error": {"code": "expired", "message": "This request expired."}}
    said = {"error": {"message": "maximum context length is 10", "code": "context_length_exceeded"}}
    back[3]["response"] = {"status_code": 400, "body": said}
    del back[4]
    counts = describe_run(run, model="m", from_batch=[write(tmp_path / "o.jsonl", back[::-1])])
    assert (counts.ok, counts.failed) == (2, 5)
    rows = run.latest("describe")
    assert {name: row.failure.kind for name, row in rows.items() if row.failure} == {
        "b": FailureKind.INVALID_JSON,
        "c": FailureKind.SERVER_ERROR,
        "d": FailureKind.CONTEXT_OVERFLOW,
        "e": FailureKind.MISSING_ANSWER,
        "x": FailureKind.MISSING_IMAGE,
    }
    assert rows["a"].record and rows["a"].record["p_defective"] == pytest.approx(0.9, abs=0.01)
    assert [r["custom_id"] for r in emitted(run, tmp_path / "again.jsonl")] == [
        r["custom_id"] for r in requests[1:5]
    ]


def test_samples_that_ask_the_same_share_a_request(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ab")
    for name in "cd":
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "a.png").read_bytes())
    first = next(iter(run.samples()))
    alike = [first.model_copy(update={"id": n, "image": str(tmp_path / f"{n}.png")}) for n in "abcd"]
    run.set_samples("more", alike)
    requests = emitted(run, tmp_path / "b.jsonl")
    assert len(requests) == 2
    file = write(tmp_path / "o.jsonl", [answered(r) for r in requests])
    assert describe_run(run, model="m", from_batch=[file]).ok == 4


def test_answers_to_other_questions_are_not_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", a="a cat")
    file = write(tmp_path / "o.jsonl", [answered(r) for r in emitted(run, tmp_path / "b.jsonl")])
    for other in ({"max_tokens": 7}, {"protocol": "conservative"}, {"params": {"top_p": 1}}):
        assert describe_run(run, model="m", from_batch=[file], **other).failed == 1
    assert describe_run(run, model="m", from_batch=[file]).ok == 1


def test_files_are_split_and_none_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_LINES", 2)
    run = make_run(tmp_path, "abcde")
    files, n = emit_batch(run, tmp_path / "b.jsonl", model="m")
    assert n == 5 and [path.name for path in files] == ["b.jsonl", "b-2.jsonl", "b-3.jsonl"]
    outputs = [write(path.with_suffix(".out"), [answered(r) for r in lines(path)]) for path in files]
    with pytest.raises(UserError, match="there already"):
        emit_batch(run, tmp_path / "b.jsonl", model="m")
    assert describe_run(run, model="m", from_batch=outputs).ok == 5


@pytest.mark.parametrize(
    "line", ["{", "[1]", "{}", '{"custom_id": 5, "response": null}', '{"custom_id": "a", "response": 5}']
)
def test_a_file_that_is_no_output_is_one_line(tmp_path: Path, line: str) -> None:
    run = make_run(tmp_path, "a")
    (tmp_path / "o.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"o\.jsonl:1 is no line of a batch"):
        describe_run(run, model="m", from_batch=[tmp_path / "o.jsonl"])
    with pytest.raises(UserError, match="no such file"):
        describe_run(run, model="m", from_batch=[tmp_path / "nosuch.jsonl"])


def test_several_calls_are_no_batch(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="protocols of one call"):
        emit_batch(make_run(tmp_path, "a"), tmp_path / "b.jsonl", model="m", protocol="staged")


def test_a_batch_is_written_or_taken_in_not_both(tmp_path: Path) -> None:
    given = ["x", "-o", str(tmp_path / "run"), "--emit-batch", str(tmp_path / "b"), "--from-batch", "y"]
    result = CliRunner().invoke(describe, given)
    assert isinstance(result.exception, UserError) and "give one of them" in str(result.exception)
