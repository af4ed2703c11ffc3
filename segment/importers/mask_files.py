"""Mask pictures as others have made them: two levels, their picture's own size, or a stated threshold."""

from pathlib import Path

import numpy as np
from PIL import Image

from flawscribe.images import ImageFailure, load_mask, open_picture, read_bytes
from segment.importers.base import Size, bad_mask

_DEEP = {"I;16": 65535.0, "I;16B": 65535.0, "I;16L": 65535.0, "F": 1.0}


def mask_file(path: Path, size: Size, threshold: float | None = None) -> np.ndarray | None:
    """The bool (h, w) mask in a picture file, None where it is empty; ImageFailure (bad_mask) where it is broken.

    Without `threshold` the mask must have one level beside zero (1, 255, a colour), which is defective; of a palette
    every index but zero is, and of a JPEG the brighter half. With it, what is at least that fraction
    of the full scale (255, 65535, or 1 for floats) in any channel.
    """
    try:
        image = open_picture(read_bytes(str(path)), str(path))
    except ImageFailure as e:
        raise bad_mask(str(e)) from e
    if image.size != size:
        told = f"{image.size[0]} x {image.size[1]} pixels, but its picture has {size[0]} x {size[1]}"
        raise bad_mask(f"{path}: the mask has {told}")
    if threshold is not None and image.mode not in ("1", "P"):
        marked = _values(image) >= threshold * _DEEP.get(image.mode, 255.0)
    else:
        if image.mode not in ("1", "P") and image.format != "JPEG":
            _refuse_levels(image, path)
        marked = load_mask(str(path), size)
    return marked if marked.any() else None


def _values(image: Image.Image) -> np.ndarray:
    """The largest channel of each pixel, zero where it is transparent or a float that is none."""
    if image.mode in _DEEP or image.mode == "I":
        return np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    rgba = np.asarray(image.convert("RGBA"))
    return np.where(rgba[..., 3] > 0, rgba[..., :3].max(-1), 0).astype(np.float64)


def _refuse_levels(image: Image.Image, path: Path) -> None:
    """ImageFailure where the picture has more than one level (or colour) beside zero: a threshold must be stated."""
    values = np.asarray(image if image.mode in _DEEP or image.mode in ("I", "L") else image.convert("RGBA"))
    if values.ndim == 3:
        colours = np.where(values[..., 3:] > 0, values, 0).astype(np.uint32)
        values = (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
    levels = np.unique(values)
    marked = int(np.count_nonzero(levels))
    if marked > 1:
        raise bad_mask(
            f"{path}: the mask has {marked} levels or colours beside black: "
            "say with --mask-threshold where defective begins"
        )
