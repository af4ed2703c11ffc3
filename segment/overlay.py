"""A picture with what is marked in it tinted and outlined."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flawscribe.records import MaskPrediction
from segment.rle import decode

TINT, BOX = (255, 94, 0), (217, 30, 200)
_STRENGTH = 0.35


def overlaid(image: Image.Image, answer: MaskPrediction) -> Image.Image:
    """The RGB picture at its own size: the mask tinted and outlined in orange, the instances' boxes in magenta.

    Lines grow with the picture. ValueError where the mask is damaged or of another size than the picture.
    """
    line = max(1, round(max(image.size) / 400))
    shown = image.copy()
    if answer.rle is not None:
        mask = decode(answer.rle)
        if mask.shape != (image.height, image.width):
            raise ValueError(f"the mask has {mask.shape[::-1]} pixels, the picture {image.size}")
        inside = Image.fromarray(mask.astype(np.uint8) * 255)
        inner = inside.copy()
        for _ in range(line):
            inner = inner.filter(ImageFilter.MinFilter(3))
        tint = Image.new("RGB", image.size, TINT)
        shown.paste(tint, mask=inside.point([round(v * _STRENGTH) for v in range(256)]))
        shown.paste(tint, mask=Image.fromarray(np.asarray(inside) - np.asarray(inner)))
    draw = ImageDraw.Draw(shown)
    for instance in answer.instances:
        x0, y0, x1, y1 = instance.box
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=BOX, width=line)
    return shown
