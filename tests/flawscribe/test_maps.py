"""Probability maps: what is taken, and what is refused by name."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscribe.images import ImageFailure
from flawscribe.maps import load_map
from flawscribe.records import FailureKind

VALUES = np.array([[0, 51, 255], [102, 204, 153]], np.uint8)


def _save(path: Path, image: Image.Image | np.ndarray) -> str:
    if isinstance(image, np.ndarray):
        np.save(path, image)
    else:
        image.save(path)
    return str(path)


def test_every_form_of_the_same_map(tmp_path: Path) -> None:
    exact = VALUES / 255
    forms = {
        "8.png": Image.fromarray(VALUES),
        "16.png": Image.fromarray(VALUES.astype(np.uint16) * 257),
        "floats.tiff": Image.fromarray(exact.astype(np.float32)),
        "half.npy": exact.astype(np.float16),
        "single.npy": exact.astype(np.float32),
        "double.npy": np.asfortranarray(exact),
        "big-endian.npy": exact.astype(">f4"),
    }
    for name, form in forms.items():
        found = load_map(_save(tmp_path / name, form))
        assert found.dtype == np.float32 and found.shape == (2, 3)
        assert found == pytest.approx(exact, abs=1e-3 if "half" in name else 1e-6)


def test_a_map_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(VALUES).save(tmp_path / "turned.png", exif=exif)
    assert load_map(str(tmp_path / "turned.png")).shape == (3, 2)


def test_what_is_no_map_is_refused_by_name(tmp_path: Path) -> None:
    grey = Image.fromarray(VALUES)
    cases = {
        "colours.png": grey.convert("RGB"),
        "palette.png": grey.convert("P"),
        "alpha.png": grey.convert("LA"),
        "above.tiff": Image.fromarray(np.full((2, 2), 1.5, np.float32)),
        "nan.npy": np.full((2, 2), np.nan),
        "below.npy": np.full((2, 2), -0.1),
        "counts.npy": VALUES,
        "three.npy": np.zeros((2, 2, 1)),
        "none.npy": np.zeros((0, 4)),
    }
    for name, form in cases.items():
        path = _save(tmp_path / name, form)
        with pytest.raises(ImageFailure, match=name) as found:
            load_map(path)
        assert found.value.kind == FailureKind.BAD_MASK
    with pytest.raises(ImageFailure, match="no such file"):
        load_map(str(tmp_path / "missing.png"))


def test_hostile_arrays_cost_nothing(tmp_path: Path) -> None:
    """No pickled object, no array larger than its file, no header that is not one."""

    def header(text: str) -> bytes:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()

    pickled = io.BytesIO()
    np.save(pickled, np.array([[{}]], dtype=object), allow_pickle=True)
    whole = io.BytesIO()
    np.save(whole, VALUES / 255)
    cases = {
        "pickled": pickled.getvalue(),
        "huge": header("{'descr': '<f4', 'fortran_order': False, 'shape': (8000, 8000), }\n"),
        "larger": header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 10**9), }\n"),
        "most": header("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999999), }\n"),
        "negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2), }\n"),
        "code": header("__import__('os').system('true')\n"),
        "cut": whole.getvalue()[:-1],
        "longer": whole.getvalue() + b"x",
        "other": b"no array",
        "archive": b"PK\x03\x04",
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.npy"
        path.write_bytes(data)
        with pytest.raises(ImageFailure, match=name):
            load_map(str(path))
