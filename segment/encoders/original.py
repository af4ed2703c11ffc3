"""Meta's own SAM files (`sam_vit_b_01ec64.pth` and its like): their shapes read, their names put into transformers'.

The weights run in transformers' modules, so that a `.pth` file is as fast as a hub checkpoint and needs no further
package; the parity test holds the masks to those of `segment_anything.SamPredictor`. What the encoder is (ViT-B, L,
H or another) is told by the tensors' shapes, never by the file's name. Frames and embeddings are SAM's, see
`transformers_sam`; the normalisation, which the file does not hold, is SAM's: the ImageNet mean and deviation.
"""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import SamConfig, SamModel

from flawscribe.errors import UserError, one_line
from segment.encoders.base import Encoder
from segment.encoders.checks import (
    MAX_NUMBERS,
    Unfit,
    check_config,
    check_count,
    check_finite,
    check_side,
    numel,
    refused,
)
from segment.encoders.transformers_sam import SamEncoder

_MAX_TENSORS = 10_000
_DECODER_HEADS = 8  # of the mask decoder's attention: shapes do not tell, and every SAM has eight
_DECODER_EPSILON = 1e-5  # of its LayerNorms, where transformers' default is 1e-6

# From Meta's names to transformers', in order; perceptrons' layers are renumbered by `_perceptron`.
_RENAMES = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.blocks\.", ".layers."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "shared_image_embedding.positional_embedding",
    ),
]
_PERCEPTRON = re.compile(
    r"(.*\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.(\w+)"
)


def load_original(path: Path) -> Encoder:
    """The encoder of a `.pth` file; see `load_encoder` for what is raised. Only tensors are read, no code is run."""
    if not path.is_file():
        raise UserError(f"no encoder {one_line(path, 120)}: there is no such file")
    try:
        state = _tensors(path)
        config = config_of(state)
        names = renamed(state)
        config._attn_implementation = "sdpa"
        with torch.device("meta"):  # without random weights, which take longer than reading
            model = SamModel(config)
        check_count(numel(model), sum(t.numel() for t in names.values()))
        model.to_empty(device="cpu").load_state_dict(names)
        with path.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()[:16]
        return SamEncoder(model, name=str(path), digest=digest)
    except Exception as e:  # a hostile or damaged file fails in whatever way it was made to
        raise refused(path, _told(e)) from e


def _tensors(path: Path) -> dict[str, Tensor]:
    """The file's tensors, checked: an uncompressed torch archive, each tensor as large as its storage, finite."""
    if not zipfile.is_zipfile(path):
        raise Unfit("not a file that torch.save wrote, or one cut off")
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise Unfit("it is compressed, which torch.save never does")
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]  # as training scripts save it
    if not isinstance(state, Mapping) or len(state) > _MAX_TENSORS:
        raise Unfit("it holds no dictionary of tensors")
    tensors = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise Unfit(f"it holds more than tensors ({one_line(repr(name), 60)})")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise Unfit(f"{one_line(name, 80)} claims {tensor.numel():,} numbers, more than the file holds")
        tensors[name] = tensor
    if sum(t.numel() for t in tensors.values()) > MAX_NUMBERS:
        raise Unfit(f"it holds more than {MAX_NUMBERS:,} numbers")
    check_finite(tensors.items())
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def config_of(state: Mapping[str, Tensor]) -> SamConfig:
    """transformers' configuration of Meta's tensors, from their shapes alone; Unfit where they are no SAM's."""
    try:
        hidden, _, patch, _ = state["image_encoder.patch_embed.proj.weight"].shape
        grid = state["image_encoder.pos_embed"].shape[1]
        layers = _count(state, r"image_encoder\.blocks\.(\d+)\.norm1\.weight")
        reach = [state[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(layers)]
        spans = [(length + 1) // 2 for length, _ in reach]  # 2n - 1 distances between n cells
        width = state["image_encoder.neck.0.weight"].shape[0]
        cross = state["mask_decoder.transformer.layers.0.cross_attn_token_to_image.k_proj.weight"].shape
        vision: dict[str, Any] = {
            "hidden_size": hidden,
            "output_channels": width,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // reach[0][1],
            "image_size": patch * grid,
            "patch_size": patch,
            "mlp_dim": state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
            "window_size": min(spans) if min(spans) < grid else 0,
            "global_attn_indexes": [i for i, span in enumerate(spans) if span == grid],
            "num_pos_feats": width // 2,
        }
        prompts = {
            "hidden_size": width,
            "image_size": patch * grid,
            "patch_size": patch,
            "mask_input_channels": state["prompt_encoder.mask_downscaling.6.weight"].shape[1],
        }
        decoder = {
            "hidden_size": width,
            "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            "num_hidden_layers": _count(state, r"mask_decoder\.transformer\.layers\.(\d+)\.norm1\.weight"),
            "num_attention_heads": _DECODER_HEADS,
            "attention_downsample_rate": cross[1] // cross[0],
            "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            "iou_head_depth": _count(state, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.weight"),
            "iou_head_hidden_dim": state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
            "layer_norm_eps": _DECODER_EPSILON,
        }
    except KeyError as e:
        raise Unfit(f"its tensors are not those of Meta's SAM ({one_line(e.args[0], 80)} is missing)") from e
    except (ValueError, IndexError, ZeroDivisionError) as e:
        raise Unfit(f"its tensors have not the shapes of Meta's SAM ({one_line(e, 80)})") from e
    for part in (vision, prompts, decoder):
        check_config(part)
    check_side(patch * grid, grid)
    return SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbered parts there are; the pattern's group is the number."""
    found = [int(match[1]) for name in state if (match := re.fullmatch(pattern, name))]
    return max(found) + 1 if found else 0


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Meta's tensors under transformers' names; the positional matrix, which both parts of SamModel keep, twice."""
    depth: dict[str, int] = {}
    for name in state:
        if match := _PERCEPTRON.fullmatch(name):
            depth[match[1]] = max(depth.get(match[1], 0), int(match[2]))
    new = {}
    for name, tensor in state.items():
        if match := _PERCEPTRON.fullmatch(name):
            name = f"{match[1]}.{_perceptron(int(match[2]), depth[match[1]])}.{match[3]}"
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        new[name] = tensor
    shared = new.get("shared_image_embedding.positional_embedding")
    if shared is not None:
        new["prompt_encoder.shared_embedding.positional_embedding"] = shared
    return new


def _perceptron(layer: int, last: int) -> str:
    """transformers names a perceptron's first and last layers, and numbers those between from 0."""
    return "proj_in" if layer == 0 else "proj_out" if layer == last else f"layers.{layer - 1}"


def _told(e: Exception) -> object:
    """torch's errors are pages long, with advice that would run the file's code; ours are one line."""
    if "mmap can only" in str(e):
        return "not a file that torch.save wrote"
    if isinstance(e, pickle.UnpicklingError):
        return "it holds more than tensors, and only tensors are read"
    if isinstance(e, RuntimeError) and "state_dict" in str(e):
        return one_line(str(e).partition(":\n\t")[2] or e, 160)
    return e
