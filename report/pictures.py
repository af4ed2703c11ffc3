"""Small pictures for the report, always drawn anew: no byte of a user's file reaches the page."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flawscribe.images import load_image

SIDE = 384
GOLDEN, PREDICTED, BOXED = (0, 174, 239), (255, 94, 0), (217, 30, 200)
_FILL, _EDGE, _HATCH, _LINE = 80, 255, 9, 3


def size_of(path: str) -> tuple[int, int]:
    """(width, height) of an image after its EXIF orientation; raises ImageFailure as `load_image` does."""
    return load_image(path).size


def thumbnail(path: str) -> tuple[str, tuple[int, int]]:
    """A WebP data URI of at most 384 px a side, and (width, height) of the image itself."""
    image = load_image(path)
    size = image.size
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return _uri(image, "WEBP", quality=82, method=4), size


def overlay(mask: np.ndarray, colour: tuple[int, int, int], hatched: bool = False) -> str:
    """A transparent PNG data URI of a bool (h, w) mask: tinted, outlined, its longer side 384 px.

    `hatched` adds diagonal lines, so that two masks differ without their colours too. A mask of a
    few pixels stays visible: shrinking keeps every block that holds one.
    """
    height, width = mask.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    if scale < 1:
        small = grey.resize(size, Image.Resampling.BOX).point([0] + [255] * 255)
    else:
        small = grey.resize(size, Image.Resampling.BILINEAR).point([0] * 128 + [255] * 128)
    inside = np.asarray(small) > 0
    outer = np.asarray(small.filter(ImageFilter.MaxFilter(3))) > 0
    inner = np.asarray(small.filter(ImageFilter.MinFilter(3))) > 0
    alpha = np.where(inside, _FILL, 0).astype(np.uint8)
    if hatched:
        y, x = np.indices(inside.shape)
        alpha[inside & ((x + y) % _HATCH < _LINE)] = _FILL * 2
    alpha[outer & ~inner] = _EDGE
    pixels = np.zeros((*inside.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, alpha
    return _uri(Image.fromarray(pixels), "PNG", optimize=True)


def outlines(boxes: Iterable[tuple[float, float, float, float]], size: tuple[int, int]) -> str:
    """A transparent PNG data URI of boxes (x0, y0, x1, y1) in pixels of a picture of `size`, its longer side 384 px."""
    scale = SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    image = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(image)
    for box in boxes:
        x0, y0, x1, y1 = (
            min(round(n * scale), side - 1) for n, side in zip(box, (width, height) * 2, strict=True)
        )
        draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=(*BOXED, 255), width=2)
    return _uri(image, "PNG", optimize=True)


def _uri(image: Image.Image, format: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
