"""Heads' checkpoints that lie or are broken: one line, exit code 3, before anything is marked."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flawscribe.errors import SetupError, UserError
from flawscribe.models import nano_head_path
from segment.checkpoint import load_head, save_head
from segment.encoders import load_encoder
from segment.head import TextRef, head_over
from segment.makers import maker_for
from segment.marking import Marking
from segment.texts import embedder_of

NAN = float("nan")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    save_head(head_over(load_encoder("nano"), TextRef("hashed", "hashed-2048", 2048)), folder)
    load_head(folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(good, tmp_path / "head"))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(SetupError) as told:
        load_head(folder)
    line = str(told.value)
    assert "\n" not in line and len(line) < 800 and all(word in line for word in words), line


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *[("", "detail", v) for v in ("128", 1.5, True, None, 7, -4, 10**9, [1])],
        *[("", name, v) for name in ("mask_threshold", "presence_threshold") for v in ("0.5", True, NAN, 2)],
        *[("", "mean", v) for v in ([0.5], [0.1] * 4, [NAN] * 3, ["0.5"] * 3, "abc", None)],
        *[("", "std", v) for v in ([0, 0, 0], [-1, -1, -1], [float("inf")] * 3)],
        *[("", "encoder", v) for v in ("nano", [], {"name": "nano"})],
        *[("", "decoder", v) for v in ([1], None, "x")],
        ("", "unheard_of", 1),
        ("encoder", "name", 5),
        ("encoder", "side", "128"),
        ("text", "width", "2048"),
        ("text", "width", 10**9),
        ("decoder", "num_multimask_outputs", 65_536),
        ("decoder", "layer_norm_eps", NAN),
        ("decoder", "hidden_size", 10**9),
    ],
)
def test_a_configuration_that_is_none(folder: Path, part: str, key: str, value: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config[part] if part else config)[key] = value
    path.write_text(json.dumps(config))
    refused(folder)


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_weights_that_are_no_numbers(folder: Path, value: float) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state["tokens"][0, 0] = value
    save_file(state, path)
    refused(folder, "tokens", "NaN or infinity")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("spoil", [pipe, endless, Path.unlink])
def test_weights_that_are_no_file(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder / "model.safetensors")
    refused(folder, "model.safetensors")


@pytest.mark.parametrize("spoil", [pipe, endless, Path.unlink])
def test_a_configuration_that_is_no_file(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder / "config.json")
    with pytest.raises(UserError, match="holds no defect head"):
        maker_for(str(folder), None, Marking())


@pytest.mark.parametrize("name", ["~no-such-user/head", "", "no\x1b[31mhead", "x" * 5000])
def test_a_name_of_nothing(name: str) -> None:
    with pytest.raises(UserError, match="no mask model") as told:
        maker_for(name, None, Marking())
    assert len(str(told.value)) < 300 and "\x1b" not in str(told.value)


def test_nanos_own_head_is_none_of_these() -> None:
    assert all(bool(torch.isfinite(p).all()) for p in load_head(nano_head_path()).parameters())


@pytest.mark.parametrize("name", ["/no/such/embedder", "~no-such-user/embedder"])
def test_an_embedder_that_is_gone(name: str) -> None:
    with pytest.raises(SetupError, match="what embeds descriptions for the head cannot be loaded: no model"):
        embedder_of(TextRef(name, "1234", 384))
