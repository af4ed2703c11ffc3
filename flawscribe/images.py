"""Opening pictures safely: bounded, oriented, always RGB; a picture that cannot be opened is a typed failure."""

import hashlib
import io
import json
import os
import stat
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image, ImageOps

from flawscribe.records import Failure, FailureKind

MAX_PIXELS = 64_000_000
MAX_BYTES = 100_000_000
_VERBATIM = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_NOT_PIXELS = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}
_ORIENTATION = 0x0112


class ImageFailure(Exception):
    """A picture that cannot be used: `kind` and one line that names it."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def failure(self, stage: str) -> Failure:
        """The failure row's content for a stage."""
        return Failure(stage=stage, kind=self.kind, message=str(self))


def formats() -> list[str]:
    """Pillow's names of the formats that are read: all but programs (PostScript) and those it cannot decode."""
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


def is_url(path: str) -> bool:
    """Whether an image is given as an address rather than a path."""
    return urlsplit(path).scheme.lower() in ("http", "https", "ftp", "s3", "gs", "data", "file")


def read_bytes(path: str) -> bytes:
    """The file's bytes; ImageFailure where it is missing, not a regular file, unreadable, empty or over 100 MB."""
    if is_url(path):
        raise ImageFailure(FailureKind.MISSING_IMAGE, f"{path[:200]}: addresses are not fetched; download it first")
    try:
        # Opened without blocking: a pipe named like a picture must not hang the run.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as f:
            info = os.fstat(f.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: not a regular file")
            if info.st_size > MAX_BYTES:
                size = f"{info.st_size / 1e6:.0f} MB"
                raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: {size}, over {MAX_BYTES // 10**6} MB")
            data = f.read(MAX_BYTES + 1)
    except FileNotFoundError as e:
        raise ImageFailure(FailureKind.MISSING_IMAGE, f"{path}: no such file") from e
    except (OSError, ValueError) as e:
        why = getattr(e, "strerror", None) or str(e)
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: {why}") from e
    if not data:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: the file is empty")
    return data


def _open(data: bytes, path: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats())
    except Image.DecompressionBombError as e:
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: too many pixels") from e
    except Exception as e:  # Pillow's decoders raise whatever they like on hostile bytes
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: not a picture that can be opened") from e
    width, height = image.size
    if width * height > MAX_PIXELS:
        told = f"{width} x {height} pixels, over {MAX_PIXELS // 10**6} million"
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: {told}")
    if not width or not height:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: the picture has no pixels")
    return image


def _load(image: Image.Image, path: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.seek(0)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except Exception as e:  # as in _open: a truncated or malformed file
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: cannot be decoded ({str(e)[:120]})") from e


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: alpha on white, 16-bit and float pictures scaled to their range."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I;16") or values.max() > 255 else 255.0
        if image.mode == "F" and values.max() <= 1:
            top = 1.0
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def load_image(path: str) -> Image.Image:
    """The picture as 8-bit RGB: EXIF orientation applied, alpha on white, the first frame of an animation.

    Raises ImageFailure for anything else than a regular file of at most 100 MB that Pillow decodes to at
    most 64 million pixels.
    """
    return _load(_open(read_bytes(path), path), path)


def frames(path: str) -> int:
    """How many frames the picture has (1 for a still one); only the first is ever looked at."""
    return getattr(_open(read_bytes(path), path), "n_frames", 1)


def image_bytes(path: str) -> tuple[bytes, str]:
    """What a server is sent: (bytes, MIME type).

    The file's own bytes where it is a PNG, JPEG or WebP that `load_image` would not change (opaque 8-bit
    RGB or grey, upright, one frame); otherwise that function's result as PNG, so that every engine sees
    the same pixels.
    """
    data = read_bytes(path)
    image = _open(data, path)
    decoded = _load(image, path)
    plain = image.mode in ("RGB", "L") and not image.has_transparency_data and getattr(image, "n_frames", 1) == 1
    if image.format in _VERBATIM and plain and image.getexif().get(_ORIENTATION, 1) == 1:
        return data, _VERBATIM[image.format]
    buffer = io.BytesIO()
    decoded.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


def load_mask(path: str, size: tuple[int, int]) -> np.ndarray:
    """A mask picture as bool (h, w), True where any channel is non-zero; `size` is (width, height).

    Raises ImageFailure (bad_mask) where it cannot be opened or is of another size.
    """
    try:
        image = _open(read_bytes(path), path)
        if image.size != size:
            told = f"{image.size[0]} x {image.size[1]} pixels, but its image has {size[0]} x {size[1]}"
            raise ImageFailure(FailureKind.BAD_MASK, f"{path}: the mask has {told}")
        image.load()
    except ImageFailure as e:
        raise ImageFailure(FailureKind.BAD_MASK, str(e)) from e
    except Exception as e:  # as in _open
        raise ImageFailure(FailureKind.BAD_MASK, f"{path}: cannot be decoded ({str(e)[:120]})") from e
    if image.mode == "P":
        return np.asarray(image) > 0  # a palette mask's zero is its background, whatever its colour
    if "A" in image.getbands():
        image = image.convert("RGBA")
        values = np.asarray(image)
        return (values[..., :3].max(-1) > 0) & (values[..., 3] > 0)
    values = np.asarray(image if image.mode in ("1", "L", "RGB") else image.convert("L"))
    return values.astype(bool) if values.ndim == 2 else values.max(-1) > 0


class Digests:
    """SHA-256 of image files, remembered in `digests.jsonl` by path, size and time of change."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "digests.jsonl"
        self._known: dict[str, tuple[int, int, str]] = {}
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                try:
                    path, size, mtime, digest = json.loads(line)
                except ValueError:
                    continue  # a line cut off by a kill: that picture is read again
                self._known[path] = (size, mtime, digest)

    def digest(self, path: str) -> str:
        """The file's digest; ImageFailure where it cannot be read."""
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            read_bytes(path)  # raises the typed failure
            raise
        stamp = (info.st_size, info.st_mtime_ns)
        if (known := self._known.get(path)) and known[:2] == stamp:
            return known[2]
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
        self._known[path] = (*stamp, digest)
        with self._file.open("a", encoding="utf-8") as f:
            f.write(json.dumps([path, *stamp, digest]) + "\n")
        return digest
