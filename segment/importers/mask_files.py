"""Mask pictures as others have made them: two levels, their picture's own size, or a stated threshold."""

from pathlib import Path

import numpy as np
from PIL import Image

from flawscribe.images import ImageFailure, load_mask, open_picture, read_bytes
from segment.importers.base import Size, bad_mask


def mask_file(path: Path, size: Size, threshold: float | None = None) -> np.ndarray | None:
    """The mask of `read_mask`, None where it is empty."""
    marked = read_mask(path, size, threshold)
    return marked if marked.any() else None


def read_mask(path: str | Path, size: Size | None, threshold: float | None = None) -> np.ndarray:
    """The bool (h, w) mask in a picture file of `size` (None takes any); ImageFailure (bad_mask) where it is broken.

    Without `threshold` the mask must have one level beside zero (1, 255, a colour), which is defective; of a palette
    every index but zero is, and of a JPEG the brighter half. With it, what reaches that share of the full scale in
    the brightest channel.
    """
    marked = load_mask(str(path), size, cut=threshold)
    if threshold is None and marked.any():
        _refuse_levels(path)
    return marked


def _refuse_levels(path: str | Path) -> None:
    """ImageFailure where the picture has several levels or colours beside zero: golden masks are not guessed at."""
    try:
        image = open_picture(read_bytes(str(path)), str(path))
    except ImageFailure as e:
        raise bad_mask(str(e)) from e
    if image.mode in ("1", "P") or image.format in ("JPEG", "MPO"):
        return
    marked = int(np.count_nonzero(np.unique(_values(image))))
    if marked > 1:
        raise bad_mask(
            f"{path}: the mask has {marked} levels or colours beside black: make it black and white, or say with "
            "--threshold, where that is taken, where defective begins"
        )


def _values(image: Image.Image) -> np.ndarray:
    """One number a pixel: the level, or the three of a colour together; 0 where it is transparent."""
    if image.mode == "L" or image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image)
    rgba = np.asarray(image.convert("RGBA"))
    colours = np.where(rgba[..., 3:] > 0, rgba, 0).astype(np.uint32)
    return (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
