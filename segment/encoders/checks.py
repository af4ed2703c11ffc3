"""What a checkpoint may claim before anything is built from it: bounded shapes, finite numbers."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from flawscribe.errors import SetupError, one_line
from segment.encoders.base import PATCH

MAX_NUMBERS = 2_000_000_000  # parameters; SAM ViT-H has 641 million
MAX_SIDE = 4096
_MAX_SIZE = 65_536  # of any one dimension that a config names
_MAX_LAYERS = 256
_COUNTS = (
    "num_hidden_layers",
    "num_multimask_outputs",
    "iou_head_depth",
    "num_point_embeddings",
    "blocks_per_stage",
)


class Unfit(ValueError):
    """A checkpoint that is no encoder: one line, which the loader puts after the checkpoint's name."""


def refused(name: object, why: object) -> SetupError:
    """The one line for a checkpoint that cannot be used."""
    return SetupError(f"{one_line(name, 200)} is no encoder: {one_line(why)}")


def check_config(config: Mapping[str, Any]) -> None:
    """Raise Unfit where a config (with its nested ones) names a size that no SAM has: building it would not end."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            check_config(value)
            continue
        limit = _MAX_LAYERS if key in _COUNTS else _MAX_SIZE
        for number in _numbers(value):
            if not math.isfinite(number) or abs(number) > limit:
                raise Unfit(f"its config.json says {key} = {number:g}, beyond any SAM")


def _numbers(value: object) -> Iterable[float]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)


def check_side(side: int, grid: int) -> None:
    """Raise Unfit unless an embedding's cell is 16 pixels of the frame, as SAM's masks and frames suppose."""
    if side != PATCH * grid or not 0 < side <= MAX_SIDE:
        raise Unfit(
            f"a frame of {side} px with {grid} x {grid} cells; a cell is {PATCH} px, a frame {MAX_SIDE} at most"
        )


def check_count(declared: int, held: int) -> None:
    """Raise Unfit where a config declares more numbers than the files hold, or more than any encoder has."""
    if declared > min(MAX_NUMBERS, held):
        raise Unfit(f"its config.json declares {declared:,} numbers, its files hold {held:,}")


def check_finite(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raise Unfit at the first tensor that holds NaN or infinity."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Unfit(f"its weights are broken ({name} holds NaN or infinity)")


def numel(model: nn.Module) -> int:
    """How many numbers a model's parameters and kept buffers are, shared ones once."""
    return sum({id(t): t.numel() for t in model.state_dict(keep_vars=True).values()}.values())
