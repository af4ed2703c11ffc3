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

pytestmark = pytest.mark.slow
WEIGHTS = Path(resolve_model("nano").path).parent


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole chain over pairs of a seed that nothing was trained or tuned on."""
    folder = tmp_path_factory.mktemp("nano")
    run = open_run(str(write_scenes(folder / "scenes", 30, seed=90_210, pairs=True)), str(folder / "run"))
    return run_pipeline(run, engine="transformers").metrics


def test_every_answer_is_valid(metrics: dict[str, Any]) -> None:
    assert metrics["failures"] == {}


def test_pairs_are_told_apart_by_text_and_by_mask(metrics: dict[str, Any]) -> None:
    """Far above what the prompt or the picture alone gives; the card has the figures on many more scenes."""
    within = metrics["scenes"]["within_pairs"]
    assert within["description"]["all"]["auc"]["value"] >= 0.92
    assert within["description"]["plain"]["auc_within"]["value"] >= 0.9
    assert within["above_prompt_only"]["all"]["value"] >= 0.35
    assert within["mask_head"]["plain"]["auc"]["value"] >= 0.9
    assert metrics["scenes"]["masks"]["giou_raw"]["value"] >= 0.5


def test_the_prompt_decides_where_the_picture_cannot(metrics: dict[str, Any]) -> None:
    told = metrics["scenes"]["justification"]
    assert told["justified_called_flawless"]["value"] >= 0.8
    assert told["unjustified_called_defective"]["value"] >= 0.8


def test_descriptions_name_what_is_wrong(metrics: dict[str, Any]) -> None:
    named = metrics["scenes"]["named"]
    assert named["recall"]["value"] >= 0.7
    assert named["precision"]["value"] >= 0.7
    assert metrics["quality"]["srcc"]["value"] >= 0.7


def test_weights_are_small_and_hold_no_pickle() -> None:
    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 24_000_000
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".jinja", ".png"}
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
