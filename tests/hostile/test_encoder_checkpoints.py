"""Checkpoints that lie, break or attack: one clear line each, no code run, no memory taken."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from flawscribe.errors import SetupError, UserError
from segment.encoders import load_encoder
from segment.encoders.original import config_of, renamed

VISION = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "window_size": 2,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
}
PROMPTS = {"hidden_size": 32, "image_size": 64}
DECODER = {"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 16}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM that loads."""
    folder = tmp_path_factory.mktemp("good")
    config = transformers.SamConfig(
        vision_config=dict(VISION), prompt_encoder_config=dict(PROMPTS), mask_decoder_config=dict(DECODER)
    )
    transformers.SamModel(config).save_pretrained(folder)
    load_encoder(str(folder))
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(good, tmp_path / "sam"))


def refusal(name: Path | str, *words: str) -> None:
    """The name is refused in one line of bounded length that holds the words."""
    with pytest.raises(UserError) as told:
        load_encoder(str(name))
    line = str(told.value)
    assert "\n" not in line and len(line) < 600
    for word in words:
        assert word in line, line


def set_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", ["clip", "llama", "", None, ["sam"], {"sam": 1}, "sam\n\x1b[31m"])
def test_another_architecture(folder: Path, kind: object) -> None:
    set_config(folder, lambda c: c.update(model_type=kind))
    refusal(folder, "model_type", "sam2")


def test_a_directory_without_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refusal(folder, "config.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"model_type": "sam"', "\x00", '{"model_type": "sam", "x": NaN}']
)
def test_a_config_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refusal(folder, "is no encoder")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_config", "num_hidden_layers", 10**9),
        ("vision_config", "hidden_size", 10**9),
        ("vision_config", "hidden_size", 65_536),
        ("vision_config", "image_size", 10**6),
        ("vision_config", "patch_size", 1),
        ("vision_config", "output_channels", 64),
        ("vision_config", "num_attention_heads", 0),
        ("vision_config", "window_size", 10**12),
        ("vision_config", "hidden_size", "many"),
        ("mask_decoder_config", "mlp_dim", 60_000),
        ("mask_decoder_config", "num_multimask_outputs", 10**7),
        ("mask_decoder_config", "hidden_size", -32),
        ("prompt_encoder_config", "image_size", 128),
    ],
)
def test_shapes_that_the_files_do_not_hold(folder: Path, part: str, key: str, value: object) -> None:
    set_config(folder, lambda c: c[part].update({key: value}))
    refusal(folder, "is no encoder")


def test_a_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refusal(folder, "is no encoder")


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refusal(folder, "model.safetensors")


def test_weights_as_a_pickle_are_not_read(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    refusal(folder, "model.safetensors")


def test_missing_tensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state["padding"] = state.pop("vision_encoder.neck.conv1.weight")
    save_file(state, path, metadata={"format": "pt"})
    refusal(folder, "lacks 1", "neck.conv1")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers(folder: Path, value: float) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state["vision_encoder.neck.conv2.weight"][0, 0, 0, 0] = value
    save_file(state, path, metadata={"format": "pt"})
    refusal(folder, "neck.conv2.weight", "NaN")


@pytest.mark.parametrize("told", [{"image_std": [0, 1, 1]}, {"image_mean": [1]}, {"image_mean": "x"}, []])
def test_a_normalisation_that_is_none(folder: Path, told: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    refusal(folder, "is no encoder")


def test_code_beside_the_weights_is_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    set_config(
        folder,
        lambda c: c.update(model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModel": "evil.C"}),
    )
    refusal(folder, "model_type")
    assert not (tmp_path / "ran").exists()


# Meta's files


class Attack:
    """Unpickles as a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def meta_state() -> dict[str, torch.Tensor]:
    """A small SAM under Meta's names."""
    sam = pytest.importorskip("segment_anything.modeling")
    return dict(
        sam.Sam(
            sam.ImageEncoderViT(
                img_size=64, embed_dim=32, depth=2, num_heads=2, out_chans=32, use_rel_pos=True, window_size=2,
                global_attn_indexes=(1,),
            ),
            sam.PromptEncoder(32, (4, 4), (64, 64), 16),
            sam.MaskDecoder(transformer_dim=32, transformer=sam.TwoWayTransformer(2, 32, 8, 32)),
        ).state_dict()
    )  # fmt: skip


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return meta_state()


def written(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def test_the_good_file_loads(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    encoder = load_encoder(str(written(state, tmp_path / "a.pth")))
    assert (encoder.side, encoder.grid, encoder.width) == (64, 4, 32)
    nested = load_encoder(str(written({"model": state, "epoch": 3}, tmp_path / "b.pt")))
    half = load_encoder(str(written({k: v.half() for k, v in state.items()}, tmp_path / "c.pth")))
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(encoder(pixels), nested(pixels))
    torch.testing.assert_close(encoder(pixels), half(pixels), atol=0.1, rtol=0)
    assert half.device.type == "cpu" and half(pixels).dtype == torch.float32


@pytest.mark.parametrize("protocol", ["torch", "torch legacy", "pickle", "inside a dictionary"])
def test_a_pickle_with_code(protocol: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    attack, path = Attack(tmp_path / "ran"), tmp_path / "a.pth"
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(attack))
    else:
        value = state | {"x": attack} if protocol == "inside a dictionary" else attack
        torch.save(value, path, _use_new_zipfile_serialization=protocol != "torch legacy")
    refusal(path, "is no encoder")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"<html>", b"PK\x05\x06" + bytes(18)]
)
def test_a_file_of_something_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    refusal(path, "is no encoder")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_cut_off_file(kept: float, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    whole = written(state, tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "a.pth"
    path.write_bytes(whole[: int(kept * len(whole))])
    refusal(path, "is no encoder")


def test_a_compressed_archive(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """A few kilobytes can unpack to any size; torch itself never compresses."""
    plain, packed = written(state, tmp_path / "plain.pth"), tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name in source.namelist():
            out.writestr(name, source.read(name))
    refusal(packed, "compressed")


def test_a_tensor_larger_than_its_file(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """A view of stride 0: one stored number, declared to be ten thousand million."""
    huge = torch.zeros(1).expand(100_000, 100_000)
    refusal(
        written(state | {"image_encoder.neck.0.weight": huge}, tmp_path / "a.pth"), "more than the file holds"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"image_encoder.pos_embed": torch.zeros(1, 60_000, 1, 1)},
        {"image_encoder.blocks.255.norm1.weight": torch.zeros(1)},
        {"image_encoder.blocks.99999999.norm1.weight": torch.zeros(1)},
        {"image_encoder.patch_embed.proj.weight": torch.zeros(60_000, 1, 1, 1)},
        {"image_encoder.blocks.0.attn.rel_pos_h": torch.zeros(0, 0)},
        {"mask_decoder.iou_prediction_head.layers.200.weight": torch.zeros(1)},
        {"mask_decoder.mask_tokens.weight": torch.zeros(0)},
        {"image_encoder.neck.0.weight": torch.zeros(65_000, 1)},
        {"mask_decoder.transformer.layers.0.cross_attn_token_to_image.k_proj.weight": torch.zeros(0, 32)},
        {"image_encoder.neck.2.weight": torch.full((32, 32, 3, 3), float("nan"))},
        {"image_encoder.neck.2.weight": torch.zeros(2, 2).to_sparse()},
        {"image_encoder.neck.2.weight": "weights"},
        {7: torch.zeros(1)},
    ],
    ids=str,
)
def test_shapes_that_are_no_sam(
    changes: dict[Any, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    refusal(written(state | changes, tmp_path / "a.pth"), "is no encoder")


def test_sam_2s_own_file_is_told_apart(tmp_path: Path) -> None:
    state = {
        "sam_mask_decoder.iou_token.weight": torch.zeros(1, 32),
        "image_encoder.trunk.pos_embed": torch.zeros(1),
    }
    refusal(written({"model": state}, tmp_path / "sam2.1_hiera_tiny.pt"), "not those of Meta's SAM")


def test_a_directory_called_like_a_file(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "sam.pth")
    load_encoder(str(tmp_path / "sam.pth"))


@pytest.mark.parametrize(
    ("hidden", "layers", "heads"),
    [(768, 12, 12), (1024, 24, 16), (1280, 32, 16)],
    ids=["ViT-B", "ViT-L", "ViT-H"],
)
def test_the_published_sizes_are_recognised_by_shape(hidden: int, layers: int, heads: int) -> None:
    """On the meta device: shapes alone, no numbers."""
    registry = pytest.importorskip("segment_anything").sam_model_registry
    name = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}[hidden]
    with torch.device("meta"):
        state = registry[name]().state_dict()
        config = config_of(state)
        model = transformers.SamModel(config)
    vision = config.vision_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (
        hidden,
        layers,
        heads,
    )
    assert (vision.image_size, vision.window_size) == (1024, 14)
    assert list(vision.global_attn_indexes) == [
        i for i in range(layers) if i % (layers // 4) == layers // 4 - 1
    ]
    ours = {k: v.shape for k, v in renamed(state).items()}
    assert ours == {k: v.shape for k, v in model.state_dict().items()}


def test_the_error_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SetupError):
        load_encoder(str(tmp_path))
