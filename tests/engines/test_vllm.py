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
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from describe.protocol import interpret, request_for
from engines import Answer, Engine, Fault, Request, build, served_model
from engines.transformers_engine import TransformersEngine
from flawscribe.errors import SetupError
from flawscribe.manifest import read_manifest
from flawscribe.models import resolve_model
from flawscribe.records import Description, FailureKind, Sample
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
    return [request_for(sample, load("describe"), max_tokens=256) for sample in [*samples, long]]


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own OpenAI-compatible server with nano, on a free port of the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", resolve_model("nano").path, "--served-model-name", "nano"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "1024", "--max-num-seqs", "32"]
    command += ["--limit-mm-per-prompt", json.dumps({"image": 1})]
    if any(d.name == "vllm-cpu" for d in metadata.distributions()):
        command += ["--dtype", "float32", "--enforce-eager"]
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **ENVIRONMENT}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, "vLLM's server did not start"
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server with all its children: they share its process group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def test_server(server: str, requests: list[Request], expected: dict[str, Description | Fault]) -> None:
    engine, _ = build("auto", served_model("nano"), base_url=server)
    try:
        check(outcomes(engine, requests), dict(expected))
        assert engine.facts()["not_accepted"] == []
    finally:
        engine.close()
    wrong, _ = build("auto", served_model("nanno"), base_url=server)
    with pytest.raises(SetupError, match="it serves nano"):
        list(wrong.stream(iter(requests[:1])))
    wrong.close()
