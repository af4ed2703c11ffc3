"""Choosing an engine, and replaying recorded answers."""

from pathlib import Path

import pytest

from engines import Answer, Fault, Request, build, served_model
from engines.registry import choose, is_served
from flawscribe.errors import SetupError, UserError
from flawscribe.records import FailureKind


def test_auto_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto", "http://localhost/v1")[0] == "openai"
    assert choose("vllm") == ("vllm", "vllm: asked for")
    monkeypatch.setattr("engines.registry._cuda", lambda: True)
    monkeypatch.setattr("engines.registry._installed", lambda name: True)
    assert choose("auto") == ("vllm", "vllm: a CUDA device is there and vllm is installed")
    monkeypatch.setattr("engines.registry._installed", lambda name: False)
    assert choose("auto") == ("transformers", "transformers: vllm is not installed")
    monkeypatch.setattr("engines.registry._cuda", lambda: False)
    assert choose("auto") == ("transformers", "transformers: there is no CUDA device for vLLM")
    monkeypatch.setattr("engines.registry.find_spec", lambda name: None)
    with pytest.raises(SetupError, match="install"):
        choose("auto")


def test_a_served_model_is_known_only_to_its_server() -> None:
    assert is_served("openai", None) and is_served("auto", "http://localhost/v1")
    assert not is_served("auto", None) and not is_served("transformers", None)


def test_replay_gives_recorded_answers_and_faults(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": "a", "text": "A"}\n\n{"id": "b", "fault": "timeout"}\n')
    engine, reason = build("replay", served_model("any"), replay=str(file))
    found = [answer for _, answer in engine.stream(Request(id=i, user="Look") for i in "abc")]
    assert isinstance(found[0], Answer) and found[0].text == "A"
    assert [f.kind for f in found[1:] if isinstance(f, Fault)] == [
        FailureKind.TIMEOUT,
        FailureKind.MISSING_ANSWER,
    ]
    assert "replay" in reason and "not a model" in engine.facts()["note"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ('{"text": "A"}', "needs an id"),
        ('{"id": "a"}', "needs a text"),
        ('{"id": "a", "fault": "timout"}', "Did you mean 'timeout'"),
    ],
)
def test_a_wrong_recording_is_one_line(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "answers.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=says):
        build("replay", served_model("any"), replay=str(tmp_path / "answers.jsonl"))
