"""A planted key appears in nothing that is written or printed, even where the servers repeat it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_server import completion, error, serving
from PIL import Image

pytestmark = pytest.mark.slow
KEY = "sk-planted-0123456789abcdef"
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)


def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
    """A server that is careless with the key that it was sent."""
    if "Score" in json.dumps(body):
        return 200, completion(json.dumps({"Score": [1]}), refusal=None if n % 2 else f"not with {KEY}")
    if n % 5 == 0:  # every letter of it as an escape, of the completion's JSON or of the answer's own
        plain = json.dumps({"Defective": True, "Description": ["Your key is KEY."]})
        body = json.dumps(completion(plain.replace("KEY", ESCAPED) if n % 2 else plain))
        return 200, body.replace("KEY", ESCAPED).encode()
    if n % 5 == 2:
        return 400, json.dumps(error("KEY may not")).replace("KEY", ESCAPED).encode()
    if n % 5 == 3:
        return 400, error(f"Bearer {KEY} may not", KEY)
    if n % 5 == 4:
        return 500, f"<pre>Authorization: Bearer {KEY}</pre>".encode()
    text = {"Defective": True, "Description": [f"Your key is {KEY}."]}
    return 200, completion(json.dumps(text) if n % 2 else f"{KEY} is no JSON")


def test_a_planted_key_is_nowhere(tmp_path: Path) -> None:
    for i in range(12):
        Image.new("RGB", (16, 16), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [
        {"id": str(i), "image": f"{i}.png", "defective": True, "descriptions": ["Red."]} for i in range(12)
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(respond) as server:
        asked = [
            "--base-url",
            server.url,
            "--model",
            "nano-7",
            "--judge",
            "gpt",
            "--judge-base-url",
            server.url,
        ]
        told = flawscribe("run", "m.jsonl", "-o", "run", *asked, "--debug", at=tmp_path, code=1)
        assert KEY in {key.removeprefix("Bearer ") for key in server.keys}
    for form in ("csv", "jsonl"):
        told += flawscribe("export", "run", "--format", form, "-o", f"rows.{form}", at=tmp_path)
    told += flawscribe(
        "describe",
        "m.jsonl",
        "-o",
        "gone",
        "--base-url",
        "http://127.0.0.1:9",
        "--model",
        "m",
        "--debug",
        at=tmp_path,
        code=3,
    )
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 12 + 8 and any(b"Your key is ***" in content for content in written)
    assert not any(KEY.encode() in content for content in [told, *written])


@pytest.mark.parametrize("way", ["name", "redirect"])
def test_nor_in_what_ends_a_command(tmp_path: Path, way: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    (tmp_path / "m.jsonl").write_text('{"id": "a", "image": "a.png"}\n')
    models = json.dumps({"data": [{"id": "KEY"}]}).replace("KEY", ESCAPED).encode()
    away = {"Location": f"http://127.0.0.1:1/{KEY}/v1"}
    answer = (404, error("no")) if way == "name" else (307, {}, away)
    with serving(lambda body, n: answer, models=models) as server:
        asked = ["--base-url", server.url, "--model", "m"]
        told = flawscribe("describe", "m.jsonl", "-o", "run", *asked, at=tmp_path, code=3)
    assert b"***" in told and KEY.encode() not in told


def flawscribe(*arguments: str, at: Path, code: int = 0) -> bytes:
    """All that the command prints."""
    command = [sys.executable, "-m", "flawscribe.cli", *arguments]
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    done = subprocess.run(command, cwd=at, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == code, done.stdout.decode()
    return done.stdout
