"""nano under real vLLM on this machine: its server and in process, against the transformers engine.

Starting vLLM takes a minute or two, so everything that needs it is here, and each form starts once.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from describe.protocol import Ask, interpret, request_for
from engines import Answer, Engine, Fault, Request, build, served_model
from engines.transformers_engine import TransformersEngine
from flawscribe.errors import SetupError
from flawscribe.manifest import read_manifest
from flawscribe.models import resolve_model
from flawscribe.records import Description, FailureKind, Sample
from flawscribe.runs import Run
from prompts import load
from scenes.dataset import write_scenes

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
START_SECONDS = 300


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Twenty scenes, and one whose prompt is longer than nano's context."""
    manifest = write_scenes(tmp_path_factory.mktemp("scenes") / "scenes", 20, seed=11)
    samples = [sample for sample in read_manifest(manifest) if isinstance(sample, Sample)]
    long = samples[0].model_copy(update={"id": "long", "prompt": "word " * 2000})
    return [request_for(sample, Ask(load("describe"), max_tokens=256)) for sample in [*samples, long]]


@pytest.fixture(scope="module")
def expected(requests: list[Request]) -> dict[str, Description | Fault]:
    engine = TransformersEngine(resolve_model("nano").path, None)
    return outcomes(engine, requests)


def outcomes(engine: Engine, requests: list[Request]) -> dict[str, Description | Fault]:
    return {request.id: interpret(answer) for request, answer in engine.stream(iter(requests))}


def check(found: dict[str, Description | Fault], expected: dict[str, Description | Fault]) -> None:
    """Each row is valid in both or failed in neither but by overflow, and P(defective) is within 0.05."""
    assert found.keys() == expected.keys()
    fault = found.pop("long")
    assert isinstance(fault, Fault) and fault.kind == FailureKind.CONTEXT_OVERFLOW
    assert all(isinstance(row, Description) for row in found.values()), found
    for name, row in found.items():
        other = expected[name]
        assert isinstance(row, Description) and isinstance(other, Description), (row, other)
        assert row.p_defective is not None and other.p_defective is not None
        assert abs(row.p_defective - other.p_defective) <= 0.05
    same = sum(row.text == expected[name].text for name, row in found.items())  # type: ignore[union-attr]
    assert same >= 0.8 * len(found)


def test_in_process(
    requests: list[Request], expected: dict[str, Description | Fault], tmp_path: Path
) -> None:
    engine, _ = build("vllm", resolve_model("nano"), window=16)
    try:
        check(outcomes(engine, requests), dict(expected))
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no picture")
        first, last = replace(requests[0], image=str(broken)), requests[1]
        faults = [answer for _, answer in engine.stream(iter([first, last]))]
        assert isinstance(faults[0], Fault) and faults[0].kind == FailureKind.BROKEN_IMAGE
        assert isinstance(faults[1], Answer)
        cut = next(answer for _, answer in engine.stream(iter([replace(last, max_tokens=4)])))
        assert isinstance(cut, Answer) and cut.finish_reason == "length"
        wide = tmp_path / "wide.png"
        Image.new("RGB", (900, 40), "white").save(wide)
        assert isinstance(next(engine.stream(iter([replace(last, image=str(wide))])))[1], Answer)
        assert engine.facts()["context"] == 1024
    finally:
        engine.close()


class Server:
    """vLLM's own OpenAI-compatible server with nano, on a port of the loopback interface that it keeps."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = log
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", resolve_model("nano").path, "--served-model-name", "nano"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--max-model-len", "1024", "--max-num-seqs", "32"]
        command += ["--limit-mm-per-prompt", json.dumps({"image": 1})]
        if any(d.name == "vllm-cpu" for d in metadata.distributions()):
            command += ["--dtype", "float32", "--enforce-eager"]
        environment = {**os.environ, **ENVIRONMENT}
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{self._port}/health"):
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, "vLLM's server did not start"
            time.sleep(1)

    def kill(self) -> None:
        """End the server at once, with all its children: they share its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=30)
        self.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("vllm") / "log.txt")
    try:
        yield server
    finally:
        server.stop()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def test_server(server: Server, requests: list[Request], expected: dict[str, Description | Fault]) -> None:
    engine, _ = build("auto", served_model("nano"), base_url=server.url)
    try:
        check(outcomes(engine, requests), dict(expected))
        assert engine.facts()["not_accepted"] == []
    finally:
        engine.close()
    wrong, _ = build("auto", served_model("nanno"), base_url=server.url)
    with pytest.raises(SetupError, match="it serves nano"):
        list(wrong.stream(iter(requests[:1])))
    wrong.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two hundred scenes."""
    return write_scenes(tmp_path_factory.mktemp("many") / "scenes", 200, seed=12)


def describing(manifest: Path, run: Path, server: Server, window: int) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "flawscribe.cli",
        "describe",
        str(manifest),
        "-o",
        str(run),
        "--model",
        "nano",
    ]
    command += ["--base-url", server.url, "--window", str(window), "--wait", "3"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def described(run: Path) -> dict[str, Description]:
    rows = Run.open(run).latest("describe")
    assert len(rows) == 200 and all(row.ok for row in rows.values())
    return {name: Description.model_validate(row.record) for name, row in rows.items()}


def alike(a: dict[str, Description], b: dict[str, Description]) -> None:
    """What is batched otherwise may differ in a float's last digits, and now and then in a word after them."""
    assert all(abs((a[name].p_defective or 0) - (b[name].p_defective or 0)) <= 1e-3 for name in a)
    assert sum(a[name].text == b[name].text for name in a) >= 195


def test_a_server_that_is_killed_and_comes_back(server: Server, many: Path, tmp_path: Path) -> None:
    """Two hundred scenes at 32, 8 and 1 in flight; the server is killed in the middle of the second, then restarted."""
    first = describing(many, tmp_path / "32", server, 32)
    told = first.communicate()[0]
    assert first.returncode == 0, told
    second = describing(many, tmp_path / "8", server, 8)
    while sum(path.read_bytes().count(b"\n") for path in (tmp_path / "8").glob("describe/*.jsonl")) < 60:
        assert second.poll() is None
        time.sleep(0.2)
    server.kill()
    told = second.communicate()[0]
    assert second.returncode == 3 and "Traceback" not in told, told
    assert "stopped answering; the same command goes on where it stopped" in told
    partly = Run.open(tmp_path / "8").latest("describe")
    assert 60 <= sum(row.ok for row in partly.values()) < 200
    assert {row.failure.kind for row in partly.values() if row.failure} <= {FailureKind.CONNECTION}
    server.start()
    again = describing(many, tmp_path / "8", server, 8)
    told = again.communicate()[0]
    assert again.returncode == 0, told
    ids = Counter(row.id for row in Run.open(tmp_path / "8").rows("describe") if row.ok)
    assert len(ids) == 200 and max(ids.values()) == 1  # what was there was not asked again
    alike(described(tmp_path / "8"), described(tmp_path / "32"))
    one = describing(many, tmp_path / "1", server, 1)
    told = one.communicate()[0]
    assert one.returncode == 0, told
    alike(described(tmp_path / "1"), described(tmp_path / "32"))
