"""Head checkpoints on disk: `config.json`, `model.safetensors` (half precision), and the card that training writes."""

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save

from flawscribe.errors import SetupError, UserError, one_line
from segment.encoders import load_encoder
from segment.encoders.base import Encoder
from segment.encoders.checks import check_config, check_finite
from segment.head import DefectHead, EncoderRef, HeadConfig

FORMAT = "flawscribe-defect-head"
_FINEST = 4096  # pixels a side of a refined mask
_FOLD = 4  # divides that side
_SHAPE = TypeAdapter(HeadConfig)


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
        weights = folder / "model.safetensors"
        if not weights.is_file():  # nor a pipe, which would be waited for
            raise ValueError("it holds no model.safetensors")
        state = {k: v.float() for k, v in load_file(weights).items()}
        expected = own_weights(head)
        if wrong := sorted(k for k in expected.keys() | state.keys() if k not in expected or k not in state):
            raise ValueError(f"{len(wrong)} tensors are missing or too many, {wrong[0]} for one")
        for name, tensor in state.items():
            if tensor.shape != expected[name].shape:
                raise ValueError(f"{name} has the shape {[*tensor.shape]}, not {[*expected[name].shape]}")
        check_finite(state.items())
        head.load_state_dict(state, strict=False, assign=True)
    except Exception as e:  # as above
        raise SetupError(f"{folder} holds no defect head: {one_line(e)}") from e
    return head.requires_grad_(False).eval().to(device)


def read_config(folder: Path) -> HeadConfig:
    """The checkpoint's configuration; ValueError, OSError or TypeError where it is none.

    Types are what `HeadConfig` says: "0.5" is no threshold.
    """
    with (folder / "config.json").open(encoding="utf-8") as f:
        content: Any = json.loads(f.read(1_000_000))
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"its config.json is not of the format {FORMAT}")
    if unknown := content.keys() - {field.name for field in fields(HeadConfig)}:
        raise ValueError(f"its config.json has the unknown {one_line(min(unknown), 60)}")
    for part in ("vision", "decoder"):
        if isinstance(content.get(part), dict):
            check_config(content[part])
    try:
        config = _SHAPE.validate_json(json.dumps(content), strict=True)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        raise ValueError(f"its config.json, {'.'.join(map(str, first['loc']))}: {first['msg']}") from e
    if config.detail % _FOLD or not 0 <= config.detail <= _FINEST:
        raise ValueError(f"its config.json says detail = {config.detail}, which is no side of a refined mask")
    if not all(map(math.isfinite, config.mean + config.std)) or min(config.std) <= 0:
        raise ValueError(f"its config.json says mean {config.mean}, std {config.std}")
    for name in ("mask_threshold", "presence_threshold"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(
                f"its config.json says {name} = {getattr(config, name)}, which is no probability"
            )
    return config


def _encoder_of(ref: EncoderRef, folder: Path, device: str) -> Encoder:
    try:
        return load_encoder(ref.name, device)
    except UserError as e:
        where = f"if it is elsewhere now, say so under encoder.name in {folder / 'config.json'}"
        raise SetupError(f"the encoder of {folder} cannot be loaded: {e} ({where})") from e
