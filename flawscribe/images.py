"""Opening pictures safely: bounded, oriented, always RGB; a picture that cannot be opened is a typed failure."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from flawscribe.errors import one_line
from flawscribe.picture_files import MAX_BYTES, opened
from flawscribe.picture_files import ImageFailure as ImageFailure
from flawscribe.picture_files import read_bytes as read_bytes
from flawscribe.records import FailureKind
from flawscribe.verbatim import MAX_PIXELS, plain_size

Box = tuple[int, int, int, int]
_VERBATIM = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_NOT_PIXELS = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Generators write whole workflows into a picture's texts, and more of them than Pillow expects.
PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 16_000_000, MAX_BYTES
# Our own bound is lower than the one Pillow warns at, and a damaged EXIF block costs nothing.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def formats() -> list[str]:
    """Pillow's names of the formats that are read: all but PostScript, a program, and what it cannot decode."""
    Image.init()
    return [name for name in Image.ID if name not in _NOT_PIXELS]


def extensions() -> frozenset[str]:
    """The lower-case file extensions, with their dot, of the formats that are read."""
    known = set(formats())
    return frozenset(ext for ext, name in Image.registered_extensions().items() if name in known)


def picture_suffix(content: bytes) -> str:
    """The file extension that fits embedded picture bytes, ".bin" where they are no picture."""
    try:
        with Image.open(io.BytesIO(content), formats=formats()) as image:
            return f".{str(image.format).lower()}"
    except Exception:  # as in _open: whoever opens the file later is told what is wrong
        return ".bin"


@contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Whatever Pillow raises on hostile bytes, at any step, as ImageFailure."""
    try:
        yield
    except ImageFailure:
        raise
    except Image.DecompressionBombError as e:
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: too many pixels") from e
    except Exception as e:  # its decoders raise whatever they like, AssertionError and TypeError included
        why = one_line(e, 120) or type(e).__name__
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: cannot be decoded ({why})") from e


def _open(data: bytes, path: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=formats())
    except Image.DecompressionBombError as e:
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: too many pixels") from e
    except UnidentifiedImageError as e:  # its words name a buffer, not the file
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: not a picture that can be opened") from e
    except Exception as e:  # as in _decoding
        why = one_line(e, 120) or type(e).__name__
        raise ImageFailure(
            FailureKind.BROKEN_IMAGE, f"{path}: not a picture that can be opened ({why})"
        ) from e
    _bound(image, path)
    return image


def _bound(image: Image.Image, path: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        told = f"{width} x {height} pixels, over {MAX_PIXELS // 10**6} million"
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: {told}")
    if not width or not height:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: the picture has no pixels")


def _decoded(data: bytes, path: str) -> Image.Image:
    """The picture with its pixels decoded, as they are in the file (premultiplied grey as grey with alpha)."""
    image = _open(data, path)
    with _decoding(path):
        image.load()
        if image.mode == "La":  # Pillow converts it to nothing else
            image = image.convert("LA")
    _bound(image, path)  # containers such as ICO learn their size only now
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or the EXIF block is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as in _decoding; the pixels are good without it
        return 1
    return value if value in _TURNS else 1


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: alpha on white, deeper greys scaled from [0, top], where top is 1, 255, 65535 or their own maximum."""
    if image.mode.startswith("I") or image.mode == "F":
        values = _finite(image).astype(np.float64)
        highest = max(1.0, float(values.max()))
        top = next((t for t in (1.0, 255.0, 65535.0) if highest <= t), highest)
        if image.mode.startswith("I"):
            top = 65535.0 if image.mode.startswith("I;16") else max(top, 255.0)
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _finite(image: Image.Image) -> np.ndarray:
    """The values of a one-channel picture, 0 where a float is none; before any cast, which would warn of those."""
    return np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)


def check_picture(data: bytes, name: str) -> None:
    """Raise ImageFailure, which calls them `name`, for bytes that are no picture as `load_image` takes them."""
    if not data:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{name}: the file is empty")
    _decoded(data, name)


def load_image(path: str, box: Box | None = None, max_pixels: int | None = None) -> Image.Image:
    """The picture as 8-bit RGB: EXIF orientation applied, alpha on white, the first frame of an animation.

    With `box`, (x0, y0, x1, y1) in pixels, only that part of it; what has more than `max_pixels` is scaled down.

    Raises ImageFailure for anything else than a regular file of at most 100 MB that Pillow decodes to at
    most 64 million pixels.
    """
    return shown_image(path, box, max_pixels)[0]


def shown_image(path: str, box: Box | None = None, max_pixels: int | None = None) -> tuple[Image.Image, str]:
    """`load_image`, and in words what it changed of the picture's pixels, "" where nothing."""
    image = _decoded(read_bytes(path), path)
    with _decoding(path):
        return _shown(image, box, max_pixels), "; ".join(_changes(image, box, max_pixels))


def shown_size(path: str, box: Box | None = None, max_pixels: int | None = None) -> tuple[int, int]:
    """(width, height) in pixels of what `load_image` gives, mostly from the file's header alone; ImageFailure as there.

    A point (x, y) of what was shown is the picture's own at (x0 + x * w / width, y0 + y * h / height), where
    w and h are the size without `max_pixels`, and x0 and y0 the box's.
    """
    data = read_bytes(path)
    image = _open(data, path)
    if image.format not in _VERBATIM:  # containers such as ICO learn their size only from their pixels
        image = _decoded(data, path)
    return _fitted(_part(image, box), max_pixels)


def _part(image: Image.Image, box: Box | None) -> tuple[int, int]:
    """The size of the upright picture, or of the box."""
    if box is not None:
        return box[2] - box[0], box[3] - box[1]
    return image.size if _orientation(image) < 5 else (image.size[1], image.size[0])


def _fitted(size: tuple[int, int], max_pixels: int | None) -> tuple[int, int]:
    """The largest size of the same aspect with at most `max_pixels`; a size that has no more as it is."""
    width, height = size
    if max_pixels is None or width * height <= max_pixels:
        return size
    # The sides are w * sqrt(max / (w * h)), rounded down; of very long pictures one would be none.
    new_width = max(1, math.isqrt(max_pixels * width // height))
    new_height = max(1, math.isqrt(max_pixels * height // width))
    return min(new_width, max_pixels), min(new_height, max_pixels)


def _shown(image: Image.Image, box: Box | None, max_pixels: int | None) -> Image.Image:
    """A decoded picture as a model is shown it."""
    rgb = _rgb(_upright(image))
    if box is not None:
        rgb = rgb.crop(box)
    size = _fitted(rgb.size, max_pixels)
    return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.LANCZOS)


def _changes(image: Image.Image, box: Box | None, max_pixels: int | None) -> list[str]:
    """What `_shown` changes, in words."""
    changes = []
    if _moves(image):
        changes.append("animated: its first frame was looked at")
    if _orientation(image) != 1:
        changes.append("turned upright")
    if image.has_transparency_data:
        changes.append("transparency on white")
    elif image.mode not in ("RGB", "L"):
        changes.append(f"{image.mode} made RGB")
    if box is not None:
        changes.append("parts cut out")
    size = _part(image, box)
    if (fitted := _fitted(size, max_pixels)) != size:
        changes.append(f"scaled from {size[0]} x {size[1]} to {fitted[0]} x {fitted[1]}")
    return changes


def _moves(image: Image.Image) -> bool:
    """Whether there are frames (or pages) behind the first; the second of an MPO is the same picture again."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # as in _decoding; the frames behind are looked for, and not looked at
        return False


def is_animated(path: str) -> bool:
    """Whether the picture has frames (or pages) behind the one that `load_image` takes; False if unreadable."""
    try:
        with opened(path) as f, Image.open(f, formats=formats()) as image:
            return _moves(image)
    except Exception:  # as in _open
        return False


class Sent(NamedTuple):
    """What a server is sent of a picture: `data` of the MIME type `mime`, and how it differs from the file, or ""."""

    data: bytes
    mime: str
    note: str


def image_bytes(path: str, box: Box | None = None, max_pixels: int | None = None) -> Sent:
    """What a server is sent of the picture, or of the part of it in `box`, of at most `max_pixels`.

    The file's own bytes where it is a PNG, JPEG or WebP that `load_image` would not change (opaque 8-bit
    RGB or grey, upright, one frame, few enough pixels); otherwise that function's result as PNG, so that every
    engine sees the same pixels. `note` is empty exactly for the file's own bytes.
    """
    data = read_bytes(path)
    if (
        box is None
        and (plain := plain_size(data))
        and (max_pixels is None or plain[1] * plain[2] <= max_pixels)
    ):
        return Sent(data, plain[0], "")
    image = _decoded(data, path)
    with _decoding(path):
        if not (note := _note(image, box, max_pixels)):
            return Sent(data, _VERBATIM[str(image.format)], note)
        buffer = io.BytesIO()
        _shown(image, box, max_pixels).save(buffer, "PNG")
        return Sent(buffer.getvalue(), "image/png", note)


def sent_note(path: str, box: Box | None = None, max_pixels: int | None = None) -> str:
    """`image_bytes`' note alone; ImageFailure as there."""
    data = read_bytes(path)
    if (
        box is None
        and (plain := plain_size(data))
        and (max_pixels is None or plain[1] * plain[2] <= max_pixels)
    ):
        return ""
    image = _decoded(data, path)
    with _decoding(path):
        return _note(image, box, max_pixels)


def _as_it_is(data: bytes, box: Box | None, max_pixels: int | None) -> str:
    """The MIME type of what certainly goes as it is, else ""."""
    found = plain_size(data) if box is None else None
    return found[0] if found and (max_pixels is None or found[1] * found[2] <= max_pixels) else ""


def _note(image: Image.Image, box: Box | None, max_pixels: int | None) -> str:
    changes = _changes(image, box, max_pixels)
    return "" if image.format in _VERBATIM and not changes else "; ".join([*changes, "sent as PNG"])


def open_picture(data: bytes, name: str) -> Image.Image:
    """The picture of these bytes, upright and decoded, in its own mode; ImageFailure, naming it, as `load_image`."""
    image = _decoded(data, name)
    with _decoding(name):
        return _upright(image)


def load_mask(path: str, size: tuple[int, int] | None, *, cut: float | None = None) -> np.ndarray:
    """A mask picture as bool (h, w), True where any channel is non-zero; `size` is (width, height), upright.

    With the size None any is taken. A transparent pixel counts as zero, and so does, in a JPEG, whatever is darker than
    half: its compression spreads edges. With `cut`, a share of the full scale, True where the brightest channel reaches
    it (a palette's colours are no scale). Raises ImageFailure (bad_mask) where it cannot be opened or is of another
    size.
    """
    try:
        image = _decoded(read_bytes(path), path)
        threshold = 127 if image.format in ("JPEG", "MPO") else 0
        with _decoding(path):
            image = _upright(image)
            if size is not None and image.size != tuple(size):
                told = f"{image.size[0]} x {image.size[1]} pixels, but its image has {size[0]} x {size[1]}"
                raise ImageFailure(FailureKind.BAD_MASK, f"{path}: the mask has {told}")
            if cut is not None and image.mode not in ("1", "P"):
                deep = image.mode == "F" or image.mode.startswith("I")
                levels = np.asarray(_rgb(image) if deep else image.convert("RGB"))  # alpha is put on nothing
                return (levels.max(-1) >= max(cut * 255, 1)) & _nonzero(image, 0)
            return _nonzero(image, threshold)
    except ImageFailure as e:
        raise ImageFailure(FailureKind.BAD_MASK, str(e)) from e


def _nonzero(image: Image.Image, threshold: int) -> np.ndarray:
    if image.mode in ("P", "1", "F") or image.mode.startswith("I"):
        return _finite(image) != 0  # a palette mask's zero is its background, whatever its colour
    if image.has_transparency_data:
        values = np.asarray(image.convert("RGBA"))
        return (values[..., :3].max(-1) > 0) & (values[..., 3] > 0)
    values = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return (values if values.ndim == 2 else values.max(-1)) > threshold
