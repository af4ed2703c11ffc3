"""The last hand on a picture: light, style, blur, grain, and what a shift degrades."""

import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from scenes.shifts import Shift

_STYLES, _SHARES = ("plain", "grey", "sepia", "poster"), (0.8, 0.08, 0.06, 0.06)
_MOST_BLUR, _MOST_NOISE = 0.7, 7.0


def finish(image: Image.Image, rng: np.random.Generator, shift: Shift) -> tuple[Image.Image, float]:
    """The finished RGB picture, and how polished it is in [0, 1]: 1 where neither blurred nor grainy."""
    style = str(rng.choice(_STYLES, p=_SHARES))
    blur, noise, tint = rng.uniform(0, _MOST_BLUR), rng.uniform(0, _MOST_NOISE), rng.uniform(0.88, 1.1, 3)
    lit, angle, strength = rng.random() < 0.5, rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
    scale, size = image.width / 128, image.width
    if blur > _MOST_BLUR / 2:
        image = image.filter(ImageFilter.GaussianBlur(blur * scale))
    if style == "grey":
        image = ImageOps.grayscale(image).convert("RGB")
    elif style == "sepia":
        image = ImageOps.colorize(ImageOps.grayscale(image), (40, 26, 13), (255, 240, 214))
    elif style == "poster":
        image = ImageOps.posterize(image, 3)
    pixels = np.asarray(image, dtype=np.float32) * (tint * shift.tint).astype(np.float32)
    if lit:
        along = np.linspace(-1, 1, size, dtype=np.float32)
        side = along[None, :] * np.float32(np.cos(angle)) + along[:, None] * np.float32(np.sin(angle))
        pixels *= (1 - np.float32(strength) * (0.5 + 0.5 * side))[..., None]
    pixels += rng.standard_normal((size, size), dtype=np.float32)[..., None] * np.float32(noise)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")
    if shift.blur:
        image = image.filter(ImageFilter.GaussianBlur(shift.blur * scale))
    if shift.jpeg:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=shift.jpeg)
        image = Image.open(buffer).convert("RGB")
    worn = max(0.0, blur / _MOST_BLUR - 0.5) + 0.5 * noise / _MOST_NOISE
    return image, float(1 - worn)
