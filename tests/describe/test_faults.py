"""Every way in which an answer can fail: what its row is called, how often the server is asked, what is paid."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fake_server import GOOD, completion, error, serving
from recorded import make_run

from describe.stage import describe_run

SOON = {"retry-after-ms": "1"}
WHOLE = json.dumps(completion()).encode()
CUT = {"Content-Length": str(len(WHOLE) + 10), "Connection": "close"}


def late() -> tuple[Any, ...]:
    time.sleep(0.6)
    return 200, completion()


# What a server does to one row → the row's failure, the requests it takes, and how many of them are paid for.
TABLE: dict[str, tuple[Any, str, int, int]] = {
    "time-out": (late, "timeout", 5, 0),
    "connection lost": (lambda: (200, iter([WHOLE]), CUT), "connection", 5, 0),
    "429": ((429, error("slow down"), SOON), "rate_limit", 5, 0),
    "500": ((500, error("boom"), SOON), "server_error", 5, 0),
    "503": ((503, error("overloaded"), SOON), "server_error", 5, 0),
    "no completion": ((200, b"<html>busy</html>"), "server_error", 5, 0),
    "half a completion": ((200, WHOLE[:100]), "server_error", 5, 0),
    "context overflow": ((400, error("maximum context length is 9")), "context_overflow", 1, 0),
    "bad request": ((400, error("no")), "bad_request", 1, 0),
    "content filter": ((200, completion(None, "content_filter")), "refused", 1, 1),
    "refusal": ((200, completion(None, refusal="I cannot help.")), "refused", 1, 1),
    "refusal in words": ((200, completion("I'm sorry, but I can't assist with that.")), "refused", 1, 1),
    "no choice": ((200, {**completion(), "choices": []}), "empty_answer", 1, 1),
    "empty answer": ((200, completion("")), "empty_answer", 2, 2),
    "thoughts alone": ((200, completion(None, reasoning_content="Six.")), "empty_answer", 2, 2),
    "thoughts up to the limit": ((200, completion(None, "length", reasoning="Six…")), "truncated", 2, 2),
    "an open thought up to the limit": ((200, completion("<think>Six", "length")), "truncated", 2, 2),
    "truncated": ((200, completion(GOOD[:30], "length")), "truncated", 2, 2),
    "white space": ((200, completion('{"Defective":' + "\n" * 400, "length")), "whitespace_loop", 2, 2),
    "invalid JSON": ((200, completion(GOOD[:-1])), "invalid_json", 2, 2),
    "reasoning before JSON": ((200, completion(f"I see six. {GOOD}")), "reasoning_before_json", 2, 2),
    "other fields": ((200, completion('{"Defect": true}')), "invalid_answer", 2, 2),
    "contradiction": ((200, completion('{"Defective": true, "Description": []}')), "invalid_answer", 2, 2),
}


@pytest.mark.parametrize("fault", TABLE)
def test_each_fault_has_a_kind_and_costs_what_it_costs(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, kind, requests, paid = TABLE[fault]
    monkeypatch.setattr("engines.openai_engine.pause", lambda *_: 0.0)
    asked = 0

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        nonlocal asked
        if "the bad one" not in json.dumps(body["messages"]):
            return 200, completion()
        asked += 1
        return answer() if callable(answer) else answer

    run = make_run(tmp_path, "abc", b="the bad one")
    with serving(respond) as server:
        counts = describe_run(run, model="m", base_url=server.url, timeout=0.3, quiet=True)
    rows = run.latest("describe")
    assert (counts.ok, counts.failed) == (2, 1) and rows["a"].ok and rows["c"].ok
    failure = rows["b"].failure
    assert failure is not None and failure.usage is not None
    assert (failure.kind, asked) == (kind, requests)
    assert failure.usage.prompt_tokens == 11 * paid and failure.usage.completion_tokens == 7 * paid
    account = run.info()["stages"]["describe"]["account"]
    assert account["prompt_tokens"] == 11 * (paid + 2) and account["rows"] == 3


@pytest.mark.parametrize(("content", "kind"), [(None, "missing_image"), (b"no picture", "broken_image")])
def test_a_picture_that_cannot_be_read_is_not_asked_about(
    content: bytes | None, kind: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path, "ab")
    (tmp_path / "b.png").unlink()
    if content is not None:
        (tmp_path / "b.png").write_bytes(content)
    with serving(lambda body, n: (200, completion())) as server:
        describe_run(run, model="m", base_url=server.url, quiet=True)
        assert len(server.bodies) == 1
    failure = run.latest("describe")["b"].failure
    assert failure is not None and failure.kind == kind and failure.usage is None


def test_thoughts_told_apart_are_kept_with_the_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    with serving(lambda body, n: (200, completion(reasoning_content=" Six?\n"))) as server:
        describe_run(run, model="m", base_url=server.url, quiet=True)
    record = run.latest("describe")["a"].record
    assert record and record["steps"] == {"reasoning": "Six?"} and record["text"]


def test_what_was_paid_for_in_vain_is_in_the_books(tmp_path: Path) -> None:
    """A repair, a view that failed, a row that was asked again in a later pass: nothing of it is forgotten."""
    answers = iter(
        [(200, completion("nonsense")), (200, completion()), (200, completion("x")), (200, completion("y"))]
    )
    run = make_run(tmp_path, "ab")
    with serving(lambda body, n: next(answers, (200, completion()))) as server:
        describe_run(run, model="m", base_url=server.url, window=1, quiet=True)
        first = run.info()["stages"]["describe"]["account"]
        describe_run(run, model="m", base_url=server.url, window=1, quiet=True)
        second = run.info()["stages"]["describe"]["account"]
        assert len(server.bodies) == 5
    assert first == {"rows": 2, "calls": 4, "repairs": 2, "prompt_tokens": 44, "completion_tokens": 28}
    assert second == {"rows": 3, "calls": 5, "repairs": 2, "prompt_tokens": 55, "completion_tokens": 35}
    usages = [row.record["usage"]["calls"] for row in run.rows("describe") if row.record]
    assert usages == [2, 1]
