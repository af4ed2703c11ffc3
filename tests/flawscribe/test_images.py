"""Pictures of every form, and files that only pretend to be one."""

import io
import json
import os
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from flawscribe.digests import Digests
from flawscribe.images import (
    MAX_BYTES,
    ImageFailure,
    extensions,
    image_bytes,
    is_animated,
    load_image,
    load_mask,
)
from flawscribe.records import FailureKind


def scene(mode: str = "RGB") -> Image.Image:
    """40×20: left half red, right half blue."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    return image.convert(mode)


def colors(image: Image.Image) -> tuple[str, str]:
    """The nearest of red, green and blue at the left and at the right."""
    assert image.mode == "RGB"
    w, h = image.size

    def name(x: int) -> str:
        pixel = image.getpixel((x, h // 2))
        assert isinstance(pixel, tuple)
        return "rgb"[int(np.argmax(pixel))]

    return name(w // 4), name(3 * w // 4)


@pytest.mark.parametrize(
    "name",
    ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff", "a.ppm", "a.tga", "a.pcx", "a.jp2", "a.qoi",
     "a.avif", "a.ico", "a.dds", "a.sgi", "a.im"],
)  # fmt: skip
def test_every_common_format_is_read(tmp_path: Path, name: str) -> None:
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    try:
        scene().save(tmp_path / name)
    except (KeyError, OSError) as e:
        pytest.skip(f"this Pillow does not write it: {e}")
    assert Path(name).suffix in extensions()
    assert colors(load_image(str(tmp_path / name))) == ("r", "b")


def test_a_picture_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert colors(load_image(str(tmp_path / "a.jpg"))) == ("r", "b")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_colour_modes(tmp_path: Path, mode: str) -> None:
    image = scene().convert("RGB") if mode == "LAB" else scene(mode)
    name = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "LAB") else "a.png")
    (image if mode != "HSV" else image.convert("RGB")).save(name)
    assert colors(load_image(str(name))) == ("r", "b")


def test_cmyk_jpeg(tmp_path: Path) -> None:
    scene("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert colors(load_image(str(tmp_path / "a.jpg"))) == ("r", "b")
    data, mime, _ = image_bytes(str(tmp_path / "a.jpg"))
    assert mime == "image/png"
    assert colors(Image.open(io.BytesIO(data))) == ("r", "b")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    image.convert(mode).save(tmp_path / "a.png")
    loaded = load_image(str(tmp_path / "a.png"))
    assert loaded.getpixel((3, 3)) == (255, 255, 255)
    assert loaded.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grey_is_scaled_not_clipped(tmp_path: Path, dtype: type) -> None:
    values: np.ndarray = np.array([[0, 16384, 32768, 65535]], dtype=dtype)
    if dtype is np.float32:
        values = values / 65535
    Image.fromarray(values).save(tmp_path / ("a.png" if dtype is np.uint16 else "a.tif"))
    path = next(tmp_path.iterdir())
    loaded = np.asarray(load_image(str(path)))[0, :, 0]
    assert np.abs(loaded.astype(int) - [0, 64, 128, 255]).max() <= 1


def test_float_pictures_with_nan_and_infinity_have_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, np.inf, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.asarray(load_image(str(tmp_path / "a.tif")))[0, :, 0].tolist() == [0, 0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation_is_applied_for_the_reader_and_for_a_server(
    tmp_path: Path, orientation: int, name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that the orientations mean undoing
    image = scene()
    stored = image.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else image
    stored.save(tmp_path / name, exif=exif.tobytes())
    loaded = load_image(str(tmp_path / name))
    assert loaded.size == (40, 20)
    assert colors(loaded) == ("r", "b")
    data, mime, note = image_bytes(str(tmp_path / name))
    sent = Image.open(io.BytesIO(data))
    assert np.array_equal(np.asarray(sent.convert("RGB")), np.asarray(loaded))
    if orientation > 1:
        assert (mime, note) == ("image/png", "turned upright; sent as PNG")
    else:
        assert data == (tmp_path / name).read_bytes()


def test_a_damaged_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff\xff\xff")
    assert colors(load_image(str(tmp_path / "a.jpg"))) == ("r", "b")
    image_bytes(str(tmp_path / "a.jpg"))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tiff"])
def test_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    green = Image.new("RGB", (40, 20), "green")
    scene().save(tmp_path / name, save_all=True, append_images=[green, green], lossless=True)
    assert colors(load_image(str(tmp_path / name))) == ("r", "b")
    data, mime, note = image_bytes(str(tmp_path / name))
    assert mime == "image/png"
    assert note.startswith("animated: its first frame was looked at") and note.endswith("sent as PNG")
    assert colors(Image.open(io.BytesIO(data))) == ("r", "b")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100))


def fails(path: Path | str) -> FailureKind:
    """The kind with which reading, sending and masking agree that this is no picture."""
    with pytest.raises(ImageFailure) as caught:
        load_image(str(path))
    with pytest.raises(ImageFailure) as sent:
        image_bytes(str(path))
    with pytest.raises(ImageFailure) as masked:
        load_mask(str(path), (40, 20))
    assert sent.value.kind is caught.value.kind
    assert masked.value.kind is FailureKind.BAD_MASK
    failure = caught.value.failure("describe")
    assert failure.stage == "describe"
    assert "\n" not in failure.message
    return failure.kind


def hostile() -> dict[str, bytes]:
    buffer = io.BytesIO()
    scene().save(buffer, "PNG")
    png = buffer.getvalue()
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG")
    return {
        "empty": b"",
        "text": b"not a picture",
        "pickle": pickle.dumps({"a": 1}),
        "torn png": png[: len(png) // 2],
        "torn jpeg": buffer.getvalue()[:-200],
        "header alone": png[:40],
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>',
        "html": b"<html><script>alert(1)</script></html>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        "no pixels": png_of(0, 10),
        "flipped bytes": png[:50] + bytes(b ^ 0xFF for b in png[50:]),
    }


@pytest.mark.parametrize("what", hostile())
def test_what_is_no_picture_is_broken(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.png").write_bytes(hostile()[what])
    assert fails(tmp_path / "a.png") is FailureKind.BROKEN_IMAGE


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(9_000, 9_000))
    assert fails(tmp_path / "a.png") is FailureKind.IMAGE_TOO_LARGE
    (tmp_path / "b.png").write_bytes(png_of(60_000, 60_000))
    assert fails(tmp_path / "b.png") is FailureKind.IMAGE_TOO_LARGE
    with (tmp_path / "c.png").open("wb") as f:
        f.truncate(MAX_BYTES + 1)
    assert fails(tmp_path / "c.png") is FailureKind.IMAGE_TOO_LARGE


def test_what_is_no_file_neither_hangs_nor_passes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert fails(tmp_path / "pipe.png") is FailureKind.BROKEN_IMAGE
    assert fails(tmp_path) is FailureKind.BROKEN_IMAGE
    assert fails("/dev/zero") is FailureKind.BROKEN_IMAGE
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert fails(tmp_path / "loop.png") is FailureKind.BROKEN_IMAGE
    (tmp_path / "file").write_text("")
    for missing in (tmp_path / "none.png", tmp_path / "file" / "a.png"):
        assert fails(missing) is FailureKind.MISSING_IMAGE
    assert fails("a\0b.png") is FailureKind.BROKEN_IMAGE


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "file:///etc/passwd", "data:image/png;base64,AA"]
)
def test_addresses_are_not_fetched(url: str) -> None:
    assert fails(url) is FailureKind.MISSING_IMAGE


def test_plain_pictures_are_sent_byte_for_byte(tmp_path: Path) -> None:
    for name, mime in (("a.png", "image/png"), ("a.jpg", "image/jpeg"), ("a.webp", "image/webp")):
        scene().save(tmp_path / name)
        assert image_bytes(str(tmp_path / name)) == ((tmp_path / name).read_bytes(), mime, "")
    scene().save(tmp_path / "a.bmp")
    assert image_bytes(str(tmp_path / "a.bmp"))[1:] == ("image/png", "sent as PNG")


def test_an_icon_that_lost_its_palette_is_a_failure_at_every_door(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("P", (128, 128)).save(picture, "PNG")
    icon = b"ic07" + struct.pack(">I", 8 + len(picture.getvalue())) + picture.getvalue()
    (tmp_path / "a.icns").write_bytes(b"icns" + struct.pack(">I", 8 + len(icon)) + icon)
    for opened in (load_image, image_bytes):
        with pytest.raises(ImageFailure, match=r"a\.icns: cannot be decoded") as caught:
            opened(str(tmp_path / "a.icns"))
        assert caught.value.kind is FailureKind.BROKEN_IMAGE


def test_premultiplied_grey_is_read(tmp_path: Path) -> None:
    Image.new("LA", (6, 4), (40, 128)).save(tmp_path / "a.tif")
    extra = struct.pack("<HHI", 338, 3, 1)  # the tag ExtraSamples: 2 is plain alpha, 1 premultiplied
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(extra + b"\2", extra + b"\1"))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "La"
    assert load_image(str(tmp_path / "a.tif")).size == (6, 4)
    assert load_mask(str(tmp_path / "a.tif"), (6, 4)).all()


def test_long_texts_in_a_picture_are_no_matter(tmp_path: Path) -> None:
    """Generators store whole workflows."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "node " * 1_000_000, zip=True)
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png", pnginfo=texts)
    assert load_image(str(tmp_path / "a.png")).size == (6, 4)


def test_whether_a_pipe_is_animated_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gif")
    assert not is_animated(str(tmp_path / "a.gif"))


def test_names_that_steer_terminals_are_told_by_their_codes(tmp_path: Path) -> None:
    with pytest.raises(ImageFailure) as raised:
        load_image(str(tmp_path / "a\x1b[31m\n.png"))
    assert raised.value.failure("describe").message.isprintable()


def test_a_broken_second_frame_leaves_the_first(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.tif", save_all=True, append_images=[scene()])
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        second = image.tell() and image._frame_pos[1]  # type: ignore[attr-defined]
    content[second + 2 : second + 4] = b"\xfe\xca"  # its first tag, the width, is now none that is known
    (tmp_path / "a.tif").write_bytes(content)
    assert colors(load_image(str(tmp_path / "a.tif"))) == ("r", "b")
    sent, kind, _ = image_bytes(str(tmp_path / "a.tif"))
    assert kind == "image/png"
    assert colors(Image.open(io.BytesIO(sent))) == ("r", "b")


def test_values_that_are_no_numbers_are_black_and_silent(tmp_path: Path) -> None:
    values = np.ones((20, 40), np.float32)
    values[0, :3] = np.inf, -np.inf, np.nan
    values.view(np.uint32)[0, 3] = 0x7F800001  # the NaN that warns when it is cast
    Image.fromarray(values).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        image = np.asarray(load_image(str(tmp_path / "a.tif")))
        mask = load_mask(str(tmp_path / "a.tif"), (40, 20))
    assert not image[0, :4].any()
    assert (image[0, 4:] == 255).all()
    assert np.array_equal(mask, image[..., 0] > 0)


MASK = np.zeros((20, 40), dtype=bool)
MASK[5:15, 10:30] = True


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_every_mode(tmp_path: Path, mode: str) -> None:
    values = np.where(MASK, 1, 0)
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16))
    elif mode == "1":
        image = Image.fromarray(MASK)
    elif mode == "P":
        image = Image.fromarray(values.astype(np.uint8))
        image.putpalette([0, 0, 0, 200, 0, 0])
    elif mode == "RGBA":
        image = Image.fromarray(np.full((20, 40), 255, np.uint8)).convert("RGBA")
        image.putalpha(Image.fromarray((MASK * 255).astype(np.uint8)))
    else:
        image = Image.fromarray(values.astype(np.uint8)).convert(mode)
    image.save(tmp_path / "m.png")
    mask = load_mask(str(tmp_path / "m.png"), (40, 20))
    assert mask.dtype == bool
    assert np.array_equal(mask, MASK)


def test_a_jpeg_mask_has_no_halo(tmp_path: Path) -> None:
    Image.fromarray((MASK * 255).astype(np.uint8)).save(tmp_path / "m.jpg", quality=60)
    assert np.array_equal(load_mask(str(tmp_path / "m.jpg"), (40, 20)), MASK)


def test_a_mask_of_another_size_is_refused_and_told(tmp_path: Path) -> None:
    Image.fromarray(MASK).save(tmp_path / "m.png")
    with pytest.raises(ImageFailure, match=r"40 x 20.*20 x 40") as caught:
        load_mask(str(tmp_path / "m.png"), (20, 40))
    assert caught.value.kind is FailureKind.BAD_MASK


def test_digests_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    scene().save(picture)
    first = Digests(tmp_path).digest(str(picture))
    with (tmp_path / "digests.jsonl").open("a") as f:
        f.write('5\nnull\n["torn", 1')
    picture.chmod(0)
    again = Digests(tmp_path)
    assert again.digest(str(picture)) == first
    assert len((tmp_path / "digests.jsonl").read_text().splitlines()) == 4
    picture.chmod(0o644)
    Image.new("RGB", (3, 3)).save(picture)
    assert again.digest(str(picture)) != first
    with pytest.raises(ImageFailure) as caught:
        again.digest(str(tmp_path / "none.png"))
    assert caught.value.kind is FailureKind.MISSING_IMAGE
    assert json.loads((tmp_path / "digests.jsonl").read_text().splitlines()[0])[3] == first
