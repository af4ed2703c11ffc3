"""Before something goes to another machine it is said and asked, once."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_server import completion, serving
from PIL import Image

from describe.command import describe
from describe.stage import describe_run
from flawscribe.consent import ask_leave
from flawscribe.errors import UserError
from flawscribe.runs import Run
from judge.command import judge
from report.run_command import run as run_all

FLAWLESS = '{"Defective": false, "Description": []}'
TRUE = '{"Defective": true, "Description": ["Six fingers."]}'


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server at 127.0.0.1 counts as another machine's."""
    monkeypatch.setattr("flawscribe.consent.is_local", lambda host: False)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = []
    for i, name in enumerate("abc"):
        Image.effect_noise((300, 300), 90).save(tmp_path / f"{name}.png")
        rows.append({"id": name, "image": f"{name}.png", **({"prompt": "a hand"} if i else {})})
    rows[0] |= {"defective": True, "descriptions": ["Six fingers."]}
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def call(command: object, *arguments: object, **more: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], **more)  # type: ignore[arg-type]


@pytest.mark.usefixtures("elsewhere")
def test_without_a_terminal_yes_is_needed_and_nothing_is_sent(manifest: Path, tmp_path: Path) -> None:
    with serving(lambda body, n: (200, completion(FLAWLESS))) as server:
        command = [describe, manifest, "-o", tmp_path / "run", "--model", "m", "--base-url", server.url]
        refused = call(*command)
        assert isinstance(refused.exception, UserError) and refused.exception.exit_code == 2
        told = str(refused.exception)
        assert told.startswith("3 images (about 0.3 MB) and their prompts go to " + server.url)
        assert "--yes" in told and "\n" not in told
        assert not server.bodies
        allowed = call(*command, "--yes")
        assert allowed.exit_code == 0, allowed.output
        assert "3 images (about 0.3 MB) and their prompts go to " + server.url in allowed.stderr
        assert len(server.bodies) == 3
        # The run remembers; a finished one has nothing to ask.
        assert call(*command).exit_code == 0
        Image.new("RGB", (5, 5)).save(tmp_path / "d.png")
        with manifest.open("a") as f:
            f.write('{"id": "d", "image": "d.png"}\n')
        more = call(*command)
        assert more.exit_code == 0 and "images and prompts are sent to " + server.url in more.stderr
    with serving(lambda body, n: (200, completion(FLAWLESS))) as other:
        Image.new("RGB", (6, 6)).save(tmp_path / "e.png")
        with manifest.open("a") as f:
            f.write('{"id": "e", "image": "e.png"}\n')
        asked = call(*command[:-1], other.url)
        assert "1 image (about 0.0 MB), without prompts, goes to " + other.url in str(asked.exception)


def test_this_machine_is_not_asked_about(manifest: Path, tmp_path: Path) -> None:
    with serving(lambda body, n: (200, completion(FLAWLESS))) as server:
        result = call(describe, manifest, "-o", tmp_path / "run", "--model", "m", "--base-url", server.url)
    assert result.exit_code == 0, result.output
    assert "images and prompts are sent to" in result.stderr


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("answer", "sent"), [("y", 3), ("n", 0), ("", 0)])
def test_on_a_terminal_it_is_asked(
    manifest: Path, tmp_path: Path, answer: str, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawscribe.consent._someone_is_there", lambda: True)
    with serving(lambda body, n: (200, completion(FLAWLESS))) as server:
        command = [describe, manifest, "-o", tmp_path / "run", "--model", "m", "--base-url", server.url]
        result = call(*command, input=answer + "\n")
        assert len(server.bodies) == sent
    assert "3 images (about 0.3 MB) and their prompts go to " + server.url in result.stderr
    assert "Send this? [y/N]" in result.stderr
    if not sent:
        assert isinstance(result.exception, UserError) and "nothing was sent" in str(result.exception)


@pytest.mark.usefixtures("elsewhere")
def test_the_judge_asks_before_the_first_stage(manifest: Path, tmp_path: Path) -> None:
    score = completion('{"Score": [1]}')
    with serving(lambda body, n: (200, score if "Score" in str(body) else completion(TRUE))) as server:
        command = [run_all, manifest, "-o", tmp_path / "run", "--judge", "j", "--judge-base-url", server.url]
        command += ["--engine", "replay", "--replay", tmp_path / "r.jsonl", "--masks", tmp_path]
        (tmp_path / "r.jsonl").write_text("".join(json.dumps({"id": i, "text": TRUE}) + "\n" for i in "abc"))
        refused = call(*command)
        told = str(refused.exception)
        assert "judge j: up to 1 descriptions and their golden texts go to" in told and "--yes" in told
        assert not Run.open(tmp_path / "run").has("describe")
        describe_run(Run.open(tmp_path / "run"), engine="replay", replay=str(tmp_path / "r.jsonl"))
        alone = [judge, tmp_path / "run", "--judge", "j", "--judge-base-url", server.url]
        assert "--yes" in str(call(*alone).exception) and not server.bodies
        assert call(*alone, "--yes").exit_code == 0
        assert len(server.bodies) == 2
        assert call(*alone).exit_code == 0, "there is nothing left to send"


@pytest.mark.usefixtures("elsewhere")
def test_leave_is_for_one_stage_and_one_host(tmp_path: Path) -> None:
    run, heard = Run.create(tmp_path / "run"), list[str]()
    for stage, url in [
        ("describe", "https://me:pw@h.org/v1"),
        ("describe", "https://h.org/v2"),
        ("judge", "https://h.org/v1"),
        ("describe", "https://h.org:8000/v1"),
        ("describe", "http://h.org/v1"),
    ]:
        ask_leave(run, stage, url, lambda url=url: url, heard.append)  # type: ignore[misc]
    assert len(heard) == 4
    assert "pw" not in (tmp_path / "run/run.json").read_text()
    assert not ask_leave(run, "describe", "https://other.org", lambda: "never said", None)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("forged", [[], {"describe": "https://h.org"}, {"describe": None}, 7, "x"])
def test_a_forged_run_description_is_no_leave(tmp_path: Path, forged: object) -> None:
    run, heard = Run.create(tmp_path / "run"), list[str]()
    run._save({**run.info(), "may_send_to": forged})
    assert ask_leave(run, "describe", "https://h.org/v1", lambda: "line", heard.append)
    assert not ask_leave(run, "describe", "https://h.org/v1", lambda: "line", heard.append)
    assert heard == ["line"]


def test_a_real_terminal(tmp_path: Path) -> None:
    code = (
        "from flawscribe.consent import on_the_terminal as t\n"
        "t(False)('9 images go to https://h.org'); print('ALLOWED')"
    )
    for answer, allowed in ((b"y\n", True), (b"n\n", False)):
        leader, follower = pty.openpty()
        with os.fdopen(leader, "r+b", buffering=0) as keyboard:
            child = subprocess.Popen(
                [sys.executable, "-c", code], stdin=follower, stdout=subprocess.PIPE, stderr=follower
            )
            os.close(follower)
            keyboard.write(answer)
            said, _ = child.communicate(timeout=60)
        assert (b"ALLOWED" in said) == allowed
