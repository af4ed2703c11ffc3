"""SAM, SAM-HQ and SAM 2.1 checkpoints in transformers' layout: a directory, or a hub id with a revision.

What each gives a defect head is the image embedding alone, float32 (b, 256, 64, 64) for all published sizes:

- SAM (ViT-B, L, H): the neck's output. Frames of 1024 px, the picture in the upper left corner.
- SAM-HQ: the same from the same encoder; what SAM-HQ adds sits in its own decoder (`Features.extra` is for that).
- SAM 2.1: the coarsest of the feature pyramid's levels with the "no memory" vector added, as SAM 2 hands it to its
  decoder for a single picture. Its two finer maps go to SAM 2's own decoder alone (`Features.extra`). Frames of
  1024 px, the picture stretched to the whole square. SAM 2 checkpoints in this layout load too.

All take RGB in [0, 1], normalised by the ImageNet mean and deviation unless the checkpoint's own
preprocessor_config.json says otherwise.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import Tensor

from flawscribe.errors import UserError, one_line
from flawscribe.models import directory_digest, resolve_model
from segment.encoders.attention import lighten
from segment.encoders.base import IMAGENET_MEAN, IMAGENET_STD, PATCH, Encoder, Features, Triple
from segment.encoders.checks import Unfit, check_config, check_count, check_finite, check_side, numel, refused
from segment.encoders.decoder import Decoder

_FAMILIES = {
    "sam": "Sam",
    "sam_hq": "SamHQ",
    "sam2": "Sam2",
    "sam2_video": "Sam2",
}  # by config.json's model_type
_FILES = ["config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json"]


class SamEncoder(Encoder):
    """SAM or SAM-HQ: a plain ViT with windows, and a neck."""

    def __init__(self, model: Any, **known: Any) -> None:
        vision = model.config.vision_config
        super().__init__(side=vision.image_size, width=vision.output_channels, **known)
        self.model = model
        lighten(model.vision_encoder)

    def features(self, pixels: Tensor) -> Features:
        """The neck's output, and for SAM-HQ the first global block's (see the module)."""
        with torch.no_grad():
            out = self.model.vision_encoder(pixels.to(self.model.vision_encoder.dtype))
        early = getattr(out, "intermediate_embeddings", None)
        return Features(out.last_hidden_state.float(), (early[0].float(),) if early else ())

    def decoder(self) -> Decoder:
        """SAM's or SAM-HQ's own decoder."""
        return Decoder(self.model, self.grid, self.side)


class Sam2Encoder(Encoder):
    """SAM 2 or 2.1: a Hiera backbone and a feature pyramid."""

    def __init__(self, model: Any, **known: Any) -> None:
        prompts = model.config.prompt_encoder_config
        super().__init__(side=prompts.image_size, width=prompts.hidden_size, stretch=True, **known)
        self.model = model

    def features(self, pixels: Tensor) -> Features:
        """The pyramid's coarsest level used, and the two finer ones (see the module)."""
        fine, middle, embedding = self.model.get_image_embeddings(pixels.to(self.model.vision_encoder.dtype))
        return Features(embedding.float(), (fine.float(), middle.float()))

    def decoder(self) -> Decoder:
        """SAM 2's own decoder."""
        return Decoder(self.model, self.grid, self.side)


def load_transformers(name: str) -> Encoder:
    """The encoder of a directory or a hub id; see `load_encoder` for what is raised."""
    folder = _folder(name)
    try:
        config = _config(folder)
        family = _FAMILIES.get(str(config.get("model_type")))
        if family is None:
            told = one_line(repr(config.get("model_type")), 60)
            raise Unfit(f"its config.json says model_type {told}; known are {', '.join(_FAMILIES)}")
        model = _model(family, folder, config)
        mean, std = _normalisation(folder)
        kind = Sam2Encoder if family == "Sam2" else SamEncoder
        return kind(model, name=name, digest=directory_digest(folder), mean=mean, std=std)
    except Exception as e:  # a hostile or damaged checkpoint fails in whatever way it was made to
        raise refused(name, e) from e


def _folder(name: str) -> Path:
    """The local folder of a directory or hub id; the hub's files are fetched where they are not here."""
    try:
        model = resolve_model(name)
    except UserError as e:
        if "holds no model" in str(e):
            raise
        raise UserError(
            f"no encoder {one_line(repr(name), 80)}. Give nano, a directory with a SAM checkpoint, a .pth file of "
            "Meta's SAM, or a hub id org/name"
        ) from e
    if model.kind != "hub":
        return Path(model.path)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model.path, revision=model.revision, allow_patterns=_FILES))
    except Exception as e:  # no network, no such repository, a gated one: its library's many classes
        raise UserError(f"cannot fetch the encoder {one_line(name, 80)}: {one_line(e, 200)}") from e


def _config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise Unfit("its config.json holds no object")
    check_config(config)
    return config


def _model(family: str, folder: Path, raw: dict[str, Any]) -> Any:
    """The model with all of its weights, each of them finite, in float32."""
    config = getattr(transformers, f"{family}Config").from_pretrained(folder)
    _check_frame(config)
    kind = getattr(transformers, f"{family}Model")
    with torch.device("meta"):
        check_count(numel(kind(config)), _held(folder))
    with _quiet():  # what is missing is told below, in one line
        model, info = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    for what, keys in (("lacks", info["missing_keys"]), ("holds other shapes of", info["mismatched_keys"])):
        if keys:
            first = sorted(str(k) for k in keys)[0]
            raise Unfit(f"it {what} {len(keys)} of the model's tensors, {one_line(first, 100)} among them")
    check_finite(model.state_dict().items())
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its warnings and its progress bar."""
    told = transformers.logging
    level, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if bars:
            told.enable_progress_bar()


def _check_frame(config: Any) -> None:
    """Raise Unfit unless frame, grid and decoder fit each other."""
    prompts, width = config.prompt_encoder_config, config.mask_decoder_config.hidden_size
    side = prompts.image_size
    check_side(side, side // PATCH)
    vision = config.vision_config
    if config.model_type.startswith("sam2"):
        sizes = [[side // s, side // s] for s in (4, 8, 16)]
        if [list(s) for s in vision.backbone_feature_sizes] != sizes or vision.num_feature_levels != 3:
            raise Unfit(f"its feature maps are {vision.backbone_feature_sizes}, not {sizes}")
        found = vision.fpn_hidden_size
    else:
        if (vision.image_size, vision.patch_size, prompts.patch_size) != (side, PATCH, PATCH):
            raise Unfit(
                f"its encoder's frame ({vision.image_size} px) is not its prompts' ({side} px) in cells of 16"
            )
        found = vision.output_channels
    if not width == found == prompts.hidden_size:
        raise Unfit(f"its embedding has {found} channels, its decoder wants {width}")


def _held(folder: Path) -> int:
    """How many numbers the folder's safetensors files hold."""
    total = 0
    for path in folder.glob("model*.safetensors"):
        with safe_open(path, framework="pt") as f:
            total += sum(math.prod(f.get_slice(key).get_shape()) for key in f.keys())  # noqa: SIM118 (no mapping)
    if not total:
        raise Unfit("it holds no model.safetensors")
    return total


def _normalisation(folder: Path) -> tuple[Triple, Triple]:
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return IMAGENET_MEAN, IMAGENET_STD
    told = json.loads(path.read_text(encoding="utf-8"))
    mean = tuple(float(v) for v in told.get("image_mean", IMAGENET_MEAN))
    std = tuple(float(v) for v in told.get("image_std", IMAGENET_STD))
    if len(mean) != 3 or len(std) != 3 or not all(math.isfinite(v) for v in mean + std) or min(std) <= 0:
        raise Unfit(f"its preprocessor_config.json says image_mean {mean}, image_std {std}")
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
