"""The weights that ship: small, safe, and seeing what the card says they see."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from flawscribe.inputs import open_run
from flawscribe.models import nano_head_path, resolve_model
from report.pipeline import run_pipeline
from scenes.dataset import write_scenes

WEIGHTS = Path(resolve_model("nano").path).parent


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole chain over pairs of a seed that nothing was trained or tuned on."""
    folder = tmp_path_factory.mktemp("nano")
    run = open_run(str(write_scenes(folder / "scenes", 20, seed=90_210, pairs=True)), str(folder / "run"))
    return run_pipeline(run, engine="transformers").metrics


def test_every_answer_is_valid(metrics: dict[str, Any]) -> None:
    assert metrics["failures"] == {}


def test_pairs_are_told_apart_by_text_and_by_mask(metrics: dict[str, Any]) -> None:
    pairs = metrics["detection"]["within_pairs"]["description"]
    assert pairs["auc"]["value"] >= 0.90
    assert pairs["pair_accuracy"]["value"] >= 0.90
    assert metrics["masks"]["raw"]["giou"]["value"] >= 0.40


def test_descriptions_name_what_is_wrong(metrics: dict[str, Any]) -> None:
    assert metrics["texts"]["completeness"]["value"] >= 1.2
    assert metrics["quality"]["srcc"]["value"] >= 0.3


def test_weights_are_small_and_hold_no_pickle() -> None:
    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 24_000_000
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".jinja"}
    total = 0
    with safe_open(WEIGHTS / "vlm" / "model.safetensors", framework="pt") as f:
        for name in f.keys():  # noqa: SIM118 (safe_open is no mapping)
            tensor = f.get_tensor(name)
            assert tensor.isfinite().all()
            total += tensor.numel()
    assert total <= 12_000_000


def test_loads_through_the_auto_classes_in_single_precision() -> None:
    path = resolve_model("nano").path
    model = AutoModelForImageTextToText.from_pretrained(path)
    processor = AutoProcessor.from_pretrained(path)
    assert str(model.dtype) == "torch.float32"
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Assess."}]}]
    assert "<image>" in processor.apply_chat_template(chat, add_generation_prompt=True)
    assert json.loads((nano_head_path() / "config.json").read_text())["format"] == "flawscribe-defect-head"
