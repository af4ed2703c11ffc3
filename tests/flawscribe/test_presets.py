"""What is known of models with a short name, and whether their weights are here."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors import safe_open

from describe.boxes import convention
from flawscribe.errors import UserError
from flawscribe.models import resolve_model
from flawscribe.presets import ALLOWANCE, cached, preset_of, presets


def test_a_preset_stands_for_its_hub_id() -> None:
    ref = resolve_model("qwen3-vl-4b")
    assert (ref.path, ref.revision, ref.kind) == ("Qwen/Qwen3-VL-4B-Instruct", "main", "hub")
    assert ref == resolve_model("Qwen/Qwen3-VL-4B-Instruct")  # rows of one are rows of the other
    assert preset_of(ref.path) == preset_of("qwen3-vl-4b") == presets()["qwen3-vl-4b"]
    assert preset_of("org/other") is None


@pytest.mark.parametrize(("typo", "meant"), [("qwen3-vl-4", "qwen3-vl-4b"), ("Qwen3-VL-8B", "qwen3-vl-8b")])
def test_a_typo_is_answered_with_what_may_be_meant(typo: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
        resolve_model(typo)


def test_the_table_agrees_with_nano_itself() -> None:
    nano, folder = presets()["nano"], Path(resolve_model("nano").path)
    config = json.loads((folder / "config.json").read_text())
    text = config["text_config"]
    assert (nano.context, [nano.architecture]) == (text["max_position_embeddings"], config["architectures"])
    assert nano.kv_values == 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * text["head_dim"]
    with safe_open(folder / "model.safetensors", "np") as weights:
        n = sum(weights.get_tensor(name).size for name in weights.keys())  # noqa: SIM118 (no mapping)
    assert nano.parameters == round(n / 1e9, 3)


@pytest.mark.parametrize("name", [name for name, preset in presets().items() if preset.boxes])
def test_boxes_are_those_that_the_grounded_protocol_takes_the_model_to_write(name: str) -> None:
    assert convention("auto", resolve_model(name)).name == presets()[name].boxes


def test_memory_is_weights_one_context_and_an_allowance() -> None:
    four = presets()["qwen3-vl-4b"]
    assert four.weights == pytest.approx(8.876)
    assert four.memory == pytest.approx(8.876 + 2 * 73728 * 16384 / 1e9 + ALLOWANCE)


def download(hub: Path, *, shards: int = 2, missing: int = 0) -> Path:
    repository = hub / "models--org--name"
    folder = repository / "snapshots" / "abc123"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    (folder / "config.json").write_text("{}")
    names = [f"model-{i}.safetensors" for i in range(shards)]
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    for name in names[missing:]:
        (folder / name).write_bytes(b"")
    return folder


def test_weights_are_here_when_all_of_them_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert cached("org/name") is None
    folder = download(tmp_path / "hub")
    assert cached("org/name") == cached("org/name", "abc123") == folder
    assert cached("org/name", "v2") is None and cached("org/other") is None
    (folder / "model-1.safetensors").unlink()
    assert cached("org/name") is None


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_cache_holds_nothing(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = download(tmp_path)
    (folder / "model.safetensors.index.json").write_text(index)
    assert cached("org/name") is None


@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed")
def test_the_cache_is_where_huggingface_hub_has_it(tmp_path: Path) -> None:
    code = (
        "from huggingface_hub.constants import HF_HUB_CACHE; from flawscribe.presets import _cache\n"
        "print(HF_HUB_CACHE == str(_cache()))"
    )
    for variables in (
        {},
        {"HF_HOME": str(tmp_path)},
        {"XDG_CACHE_HOME": str(tmp_path)},
        {"HF_HUB_CACHE": "/x/y"},
    ):
        environment = {"HOME": "/home/somebody", "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert told.stdout.strip() == "True", (variables, told.stderr)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_serves_every_one_of_them() -> None:
    from vllm.model_executor.models import ModelRegistry

    served = set(ModelRegistry.get_supported_archs())
    assert {preset.name for preset in presets().values() if preset.architecture not in served} == set()
