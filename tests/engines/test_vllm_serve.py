"""`flawscribe serve` with real vLLM, and the instructions in its cache. Each start takes a minute."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from flawscribe.models import resolve_model
from flawscribe.runs import Run
from scenes.dataset import write_scenes

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]
# nano's own template shows no system text, and ours would fill its context. This one shows what begins with SHOWN.
TEMPLATE = """
{%- for message in messages if message['role'] == 'system' -%}
{%- set text = message['content'] if message['content'] is string else message['content'][0]['text'] -%}
{%- if text.startswith('SHOWN') -%}{{ '<|user|>' + text + '<end_of_utterance>' }}{%- endif -%}
{%- endfor -%}
"""
PROMPTS = """
version: 1
purpose: Instructions of a few blocks, in words that nano's vocabulary has.
variables: [prompt]
parts:
  system: "SHOWN {text}"
  user: "Assess this image. Its prompt, as a JSON string: {{prompt_json}}"
  user_without_prompt: Assess this image.
"""
WORDS = (
    "Look at every part of the picture, say what is wrong with it and where, and keep to what can be seen. "
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano with a template that can show instructions, in a directory of its own."""
    folder = tmp_path_factory.mktemp("models") / "nano-told"
    shutil.copytree(resolve_model("nano").path, folder)
    template = folder / "chat_template.jinja"
    template.write_text(TEMPLATE + template.read_text())
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prompts with instructions of 300 to 500 of nano's tokens: two or three of the CPU's blocks of 128."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "describe.yaml").write_text(PROMPTS.format(text=WORDS * 10))
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes", 40, seed=5)


def flawscribe(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from flawscribe.cli import main; main()", *map(str, arguments)]


def describe(*arguments: object) -> str:
    found = subprocess.run(flawscribe("describe", *arguments), capture_output=True, text=True)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout + found.stderr


def check_cached(run: Path, told: str) -> None:
    """Nine in ten of the instructions' tokens were found in the cache, the first request's among those asked for."""
    engine = json.loads((run / "run.json").read_text())["stages"]["describe"]["engine"]
    cache = engine["prefix_cache"]
    assert cache["rate"] >= 0.9 and cache["in_whole_blocks"] >= 0.6 * cache["instruction_tokens"]
    assert f"prefix cache: {cache['rate']:.0%}".replace("%", " %") in told


def in_group(group: int) -> list[int]:
    """The live processes of a process group or session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and group in (int(pgrp), int(session)):
            found.append(int(folder.name))
    return found


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


class Served:
    """`flawscribe serve` and what it says."""

    def __init__(self, model: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(flawscribe("serve", model, "--port", "0"), stdout=out, stderr=out)
        deadline = time.monotonic() + 400
        while "--base-url" not in log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        self.text = log.read_text()
        (self.guard,) = children(self.process.pid)
        self.groups = [self.guard, *children(self.guard)]

    @property
    def url(self) -> str:
        found = re.search(r"--base-url (\S+)", self.text)
        assert found
        return found[1]

    def left(self) -> list[int]:
        return [pid for group in self.groups for pid in in_group(group)]


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(model, tmp_path_factory.mktemp("serve") / "told.txt")
    yield served
    if served.process.poll() is None:
        served.process.terminate()
        served.process.wait(60)


def test_it_serves_until_it_is_told_to_stop(served: Served, told: Path, scenes: Path, tmp_path: Path) -> None:
    """Two pictures as nano knows them, forty under instructions, then SIGTERM: no process left, the port free."""
    two = tmp_path / "two.jsonl"
    two.write_text("".join(scenes.read_text().splitlines(keepends=True)[:2]))
    for row in (json.loads(line) for line in two.read_text().splitlines()):
        picture = tmp_path / row["image"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scenes.parent / row["image"], picture)
    command = re.search(r"flawscribe describe MANIFEST -o RUN (.*)", served.text)
    assert command
    line = describe(two, "-o", tmp_path / "two", *command[1].split())
    assert all(row.ok for row in Run.open(tmp_path / "two").latest("describe").values())
    assert "prefix cache" not in line  # nano is not shown our instructions

    line = describe(
        scenes, "-o", tmp_path / "many", *command[1].split(), "--prompts", told, "--max-tokens", 64
    )
    check_cached(tmp_path / "many", line)

    assert len(served.left()) >= 3  # the guard, the server and its engine
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 143
    assert served.left() == []
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", int(served.url.split(":")[2].split("/")[0])))


def test_in_process(model: Path, told: Path, scenes: Path, tmp_path: Path) -> None:
    line = describe(
        scenes,
        "-o",
        tmp_path / "run",
        "--model",
        model,
        "--engine",
        "vllm",
        "--prompts",
        told,
        "--max-tokens",
        64,
    )
    check_cached(tmp_path / "run", line)


def test_a_model_that_does_not_load_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["NoSuchModel"]}')
    found = subprocess.run(
        flawscribe("serve", tmp_path, "--port", "0"), capture_output=True, text=True, env={**os.environ}
    )
    assert found.returncode == 3 and "Traceback" not in found.stderr
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("flawscribe: vLLM ended (1): ") and "its log is " in last
