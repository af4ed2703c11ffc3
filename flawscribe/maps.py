"""Maps of probabilities or intensities in [0, 1], from grey pictures or NumPy files; all else is refused by name."""

import io
import math

import numpy as np
from PIL import Image

from flawscribe.errors import one_line
from flawscribe.images import ImageFailure, open_picture, read_bytes
from flawscribe.records import FailureKind
from flawscribe.verbatim import MAX_PIXELS

_SCALE = {"1": 1.0, "L": 255.0, "I;16": 65535.0, "I;16L": 65535.0, "I;16B": 65535.0, "F": 1.0}


def load_map(path: str) -> np.ndarray:
    """A map as float32 (h, w) in [0, 1].

    Grey pictures of 8 or 16 bits are divided by 255 or 65,535; pictures of floats and .npy files (2-D, floats, never
    pickled objects) are taken as they stand. Raises ImageFailure (bad_mask) for anything else: colours, a palette,
    transparency, values outside [0, 1] or that are no numbers, more than 64 million pixels.
    """
    try:
        values = (
            _array(read_bytes(path), path)
            if path.lower().endswith(".npy")
            else _grey(open_picture(read_bytes(path), path), path)
        )
    except ImageFailure as e:
        raise ImageFailure(FailureKind.BAD_MASK, str(e)) from e
    if not (values.min() >= 0 and values.max() <= 1):  # NaN fails both
        raise ImageFailure(FailureKind.BAD_MASK, f"{path}: a map's values must lie in [0, 1]")
    return values


def _grey(image: Image.Image, path: str) -> np.ndarray:
    scale = _SCALE.get(image.mode)
    if scale is None or image.has_transparency_data:
        told = f"{path}: a map is a grey picture of 8 or 16 bits, or of floats, not {image.mode}"
        raise ImageFailure(FailureKind.BAD_MASK, told)
    return np.asarray(image).astype(np.float32) / np.float32(scale)


def _array(data: bytes, path: str) -> np.ndarray:
    """A .npy file's array; its header is checked against the bytes that are there before anything is made of it."""
    file = io.BytesIO(data)
    try:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[np.lib.format.read_magic(file)](file)
    except Exception as e:  # it raises what Python's parser raises
        raise ImageFailure(
            FailureKind.BAD_MASK, f"{path}: not a NumPy file ({one_line(e, 120) or type(e).__name__})"
        ) from e
    if len(shape) != 2 or dtype.kind != "f" or not 0 < math.prod(shape) <= MAX_PIXELS:
        told = f"{path}: a map is a 2-D array of floats, at most {MAX_PIXELS // 10**6} million, not {dtype} {shape}"
        raise ImageFailure(FailureKind.BAD_MASK, one_line(told))
    if len(data) - file.tell() != math.prod(shape) * dtype.itemsize:
        raise ImageFailure(FailureKind.BAD_MASK, f"{path}: the file is cut off, or holds more than its array")
    file.seek(0)
    return np.load(file, allow_pickle=False).astype(np.float32)
