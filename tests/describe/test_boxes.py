"""What the numbers of a model's box mean, family by family."""

import json
import math
from pathlib import Path

import pytest

from describe.boxes import CONVENTIONS, Resize, convention
from flawscribe.errors import UserError
from flawscribe.models import ModelRef, resolve_model


def served(name: str) -> ModelRef:
    return ModelRef(name, name, "served", "served")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "resized"),
        ("qwen2_5_vl", "resized"),
        ("Qwen/Qwen2.5-VL-3B-Instruct@refs/pr/1", "resized"),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct@main", "0-1000"),
        ("qwen3-vl", "0-1000"),
        ("Qwen/Qwen2-VL-7B-Instruct", "0-1000"),
        ("OpenGVLab/InternVL3_5-8B-HF", "0-1000"),
        ("zai-org/GLM-4.6V-Flash", "0-1000"),
        ("THUDM/GLM-4.1V-9B-Thinking", "0-1000"),
        ("deepseek-ai/deepseek-vl2-tiny", "0-999"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "0-1"),
        ("mPLUG/mPLUG-Owl3-7B-240728", "0-1"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "0-1000"),
        ("qwen/some-finetune-of-nothing", "0-1000"),
        ("gpt-4o", "0-1000"),
    ],
)
def test_families_are_known_by_name(name: str, expected: str) -> None:
    assert convention("auto", served(name)).name == expected


def checkpoint(folder: Path, processor: dict[str, object], model_type: str = "qwen2_5_vl") -> ModelRef:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return resolve_model(str(folder))


def test_a_folders_model_type_counts_before_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen2.5-VL-like"
    folder.mkdir()
    assert convention("auto", checkpoint(folder, {}, "qwen3_vl_moe")).name == "0-1000"
    assert convention("auto", resolve_model("nano")).name == "0-1000"


@pytest.mark.parametrize(
    "processor",
    [
        {"min_pixels": 784, "max_pixels": 100_000, "patch_size": 14, "merge_size": 2},
        {"size": {"shortest_edge": 784, "longest_edge": 100_000}},
    ],
)
def test_the_bounds_of_a_checkpoint_are_its_own(tmp_path: Path, processor: dict[str, object]) -> None:
    found = convention("auto", checkpoint(tmp_path, processor))
    assert found.told() == "resized (28, 784-100000 pixels)"
    width, height = found.sides(1000, 500)
    assert width * height <= 100_000 and width % 28 == height % 28 == 0


def test_a_processor_that_says_nothing_usable_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --boxes"):
        convention("auto", checkpoint(tmp_path, {"min_pixels": "few"}))


def test_sizes_are_those_of_the_models_own_processor() -> None:
    smart_resize = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl").smart_resize
    for most in (16384 * 784, 1280 * 784, 256 * 784):
        resize = Resize(most=most)
        for size in ((10, 1000), (56, 56), (640, 480), (1080, 1920), (13, 17), (5000, 4000), (999, 1001)):
            assert resize(*size) == tuple(reversed(smart_resize(size[1], size[0], 28, 3136, most)))


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("0-1000", [250, 500, 750, 1000]),
        ("0-999", [249.75, 499.5, 749.25, 999]),
        ("0-1", [0.25, 0.5, 0.75, 1.0]),
        ("pixels", [50, 50, 150, 100]),
        ("resized", [49, 56, 147, 112]),  # 200 x 100 pixels become 196 x 112
    ],
)
def test_one_box_in_every_convention(name: str, box: list[float]) -> None:
    assert CONVENTIONS[name].pixels(box, 200, 100) == (50.0, 50.0, 150.0, 100.0)


def test_small_overshoot_is_moved_to_the_edge() -> None:
    assert CONVENTIONS["0-1000"].pixels([-50, 0, 500, 1050], 200, 100) == (0.0, 0.0, 100.0, 100.0)


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 1051, 500],
        [-51, 0, 500, 500],
        [0, 0, math.inf, 500],
        [math.nan, 0, 500, 500],
        [0, 0, 10**400, 500],
        [0, 0, -(10**400), 500],
        [500, 0, 500, 500],
        [600, 0, 500, 500],
        [0, 600, 500, 500],
        [1000, 0, 1040, 500],
    ],
)
def test_nonsense_is_no_box(box: list[float]) -> None:
    assert isinstance(CONVENTIONS["0-1000"].pixels(box, 200, 100), str)


def test_an_unknown_convention_is_told() -> None:
    with pytest.raises(UserError, match="Did you mean '0-1000'"):
        convention("0-100", served("m"))
