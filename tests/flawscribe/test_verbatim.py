"""What is sent unread is what would have been sent after reading; the rest is left to Pillow."""

import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from flawscribe.images import ImageFailure, load_image
from flawscribe.verbatim import plain_size

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))

GLASS = PICTURE.copy()
GLASS.putalpha(128)


def saved(image: Image.Image = PICTURE, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def texts(**values: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, value in values.items():
        info.add_text(name.replace("_", " "), value)
    return info


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PLAIN = {
    "png": (saved(), "image/png"),
    "grey png": (saved(PICTURE.convert("L")), "image/png"),
    "png with its workflow": (saved(pnginfo=texts(parameters="a cat, steps 20")), "image/png"),
    "png with resolution": (saved(dpi=(72, 72)), "image/png"),
    "jpeg": (saved(format="JPEG"), "image/jpeg"),
    "progressive jpeg": (saved(format="JPEG", progressive=True), "image/jpeg"),
    "grey jpeg": (saved(PICTURE.convert("L"), "JPEG"), "image/jpeg"),
    "webp": (saved(format="WEBP"), "image/webp"),
}
LEFT = {
    "alpha": saved(GLASS),
    "palette": saved(PICTURE.convert("P")),
    "bits": saved(PICTURE.convert("1")),
    "16 bits": saved(Image.fromarray(np.zeros((4, 4), np.uint16))),
    "transparent colour": saved(transparency=(0, 0, 0)),
    "frames of a png": saved(save_all=True, append_images=[PICTURE.rotate(90)]),
    "turned png": saved(exif=turned()),
    "raw profile": saved(pnginfo=texts(Raw_profile_type_exif="\n 1 00")),
    "turned jpeg": saved(format="JPEG", exif=turned()),
    "cmyk": saved(PICTURE.convert("CMYK"), "JPEG"),
    "lossless webp": saved(format="WEBP", lossless=True),
    "alpha webp": saved(GLASS, "WEBP"),
    "frames of a webp": saved(format="WEBP", save_all=True, append_images=[PICTURE.rotate(90)]),
    "gif": saved(format="GIF"),
    "bmp": saved(format="BMP"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_pictures_are_known_with_their_size(name: str) -> None:
    data, mime = PLAIN[name]
    assert plain_size(data) == (mime, 50, 40)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_unusual_is_left_to_pillow(name: str) -> None:
    assert plain_size(LEFT[name]) is None


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_cut_off_is_not_whole(name: str) -> None:
    data, _ = PLAIN[name]
    for cut in (4, 12, 20, 25, 60, len(data) // 2, len(data) - 12, len(data) - 1):
        assert plain_size(data[:cut]) is None, cut


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def test_no_changed_byte_of_a_png_goes_unseen() -> None:
    data, _ = PLAIN["png"]
    for at in range(len(data)):
        assert plain_size(_changed(data, at)) is None, at


@pytest.mark.parametrize("name", PLAIN)
def test_damage_that_passes_is_such_as_a_decoder_bears_or_tells(name: str, tmp_path: Path) -> None:
    """No crash, and no other size than the decoder's: whatever is changed of a header."""
    data, _ = PLAIN[name]
    chance = random.Random(1)
    for n in range(300):
        damaged = data
        for _ in range(chance.randint(1, 3)):
            damaged = _changed(damaged, chance.randrange(min(len(data), 700)))
        if (found := plain_size(damaged)) is None:
            continue
        path = tmp_path / f"{n}"
        path.write_bytes(damaged)
        try:
            image = load_image(str(path))
        except ImageFailure:
            continue
        assert image.size == found[1:]


def test_bombs_are_left_to_pillow() -> None:
    make: Callable[[], bytes] = lambda: saved(Image.new("L", (9000, 9000)))  # noqa: E731
    assert plain_size(make()) is None


@pytest.mark.timeout(20)
def test_millions_of_empty_parts_are_left_to_pillow() -> None:
    jpeg, png = PLAIN["jpeg"][0], PLAIN["png"][0]
    empty = b"\0\0\0\0tEXt" + zlib.crc32(b"tEXt").to_bytes(4, "big")
    assert plain_size(jpeg[:2] + b"\xff\xe5\0\x02" * 5_000_000 + jpeg[2:]) is None
    assert plain_size(png[:33] + empty * 5_000_000 + png[33:]) is None
    assert plain_size(png[:33] + empty * 100 + png[33:]) is not None
