"""Head checkpoints on disk: `config.json`, `model.safetensors` (half precision), and the card that training writes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from flawscribe.errors import SetupError, UserError, one_line
from segment.encoders import load_encoder
from segment.encoders.base import Encoder
from segment.head import DefectHead, EncoderRef, HeadConfig, TextRef

FORMAT = "flawscribe-defect-head"
_LARGEST, _DEEPEST = 65_536, 256  # of what a configuration may ask for: sizes, layers


def own_weights(head: DefectHead) -> dict[str, torch.Tensor]:
    """The head's tensors, without those of an encoder that stands elsewhere."""
    outside = head.config.encoder is not None
    return {k: v for k, v in head.state_dict().items() if not (outside and k.startswith("encoder."))}


def save_head(head: DefectHead, folder: Path) -> None:
    """Write `config.json` and half-precision `model.safetensors`; the latter is there as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in own_weights(head).items()}
    temporary = folder / "model.safetensors.tmp"
    temporary.write_bytes(save(state, metadata={"format": "pt"}))  # save_file lets nobody else read it
    temporary.replace(folder / "model.safetensors")
    described = {k: v for k, v in asdict(head.config).items() if v is not None}
    text = json.dumps({"format": FORMAT, **described}, indent=1)
    temporary = folder / "config.json.tmp"
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(folder / "config.json")


def load_head(folder: Path, device: str = "cpu", encoder: Encoder | None = None) -> DefectHead:
    """Read a head as `save_head` wrote it, in float32, in eval mode.

    Its encoder is loaded by the name that the checkpoint gives, unless it is given here. Raises SetupError where the
    folder holds no head, or the encoder is not the one that the head was trained over.
    """
    try:
        config = read_config(folder)
    except Exception as e:  # a hostile or damaged checkpoint fails in whatever way it was made to
        raise SetupError(f"{folder} holds no defect head: {one_line(e)}") from e
    if config.encoder is not None:
        encoder = encoder or _encoder_of(config.encoder, folder, device)
        if encoder.digest != config.encoder.digest:
            raise SetupError(
                f"{folder} was trained over other weights than {encoder.name}'s: train it again, or give those"
            )
    try:
        with torch.device("meta"):  # shapes alone: what they do not fit is refused before memory is taken
            head = DefectHead(config, encoder)
        state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
        expected = own_weights(head)
        if wrong := sorted(k for k in expected.keys() | state.keys() if k not in expected or k not in state):
            raise ValueError(f"{len(wrong)} tensors are missing or too many, {wrong[0]} for one")
        for name, tensor in state.items():
            if tensor.shape != expected[name].shape:
                raise ValueError(f"{name} has the shape {[*tensor.shape]}, not {[*expected[name].shape]}")
        head.load_state_dict(state, strict=False, assign=True)
    except Exception as e:  # as above
        raise SetupError(f"{folder} holds no defect head: {one_line(e)}") from e
    return head.requires_grad_(False).eval().to(device)


def read_config(folder: Path) -> HeadConfig:
    """The checkpoint's configuration; ValueError, OSError or TypeError where it is none."""
    with (folder / "config.json").open(encoding="utf-8") as f:
        content: Any = json.loads(f.read(1_000_000))
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"its config.json is not of the format {FORMAT}")
    for part in ("vision", "decoder"):
        _check_sizes(content.get(part) or {})
    if not 0 <= int(content.get("detail", 0)) <= 4096:
        raise ValueError("detail is no side in pixels")
    for part, kind in (("encoder", EncoderRef), ("text", TextRef)):
        if content.get(part) is not None:
            content[part] = kind(**content[part])
    for part in ("mean", "std"):
        if part in content:
            content[part] = tuple(map(float, content[part]))
    for name in ("mask_threshold", "presence_threshold"):
        if not 0 <= float(content.get(name, 0.5)) <= 1:
            raise ValueError(f"{name} is no probability")
    return HeadConfig(**content)


def _check_sizes(shape: dict[str, Any]) -> None:
    for name, value in shape.items():
        most = _DEEPEST if "layers" in name else _LARGEST
        if isinstance(value, int) and not 0 <= value <= most:
            raise ValueError(f"{name} is {value}")


def _encoder_of(ref: EncoderRef, folder: Path, device: str) -> Encoder:
    try:
        return load_encoder(ref.name, device)
    except UserError as e:
        raise SetupError(f"the encoder of {folder} cannot be loaded: {e}") from e
