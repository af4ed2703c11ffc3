"""A pen that paints colour, part labels and the defect mask in one go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw

PARTS = (
    "background", "eye", "head", "hair", "nose", "mouth", "dial", "hand", "tick", "trunk", "crown", "root",
    "ball", "shadow", "log", "flame", "water", "fish", "tail", "fin", "cup", "handle", "liquid", "body",
    "leg", "arm", "torso", "ground",
)  # fmt: skip
_SCALE = 2  # drawn at twice the size, then averaged down: cheap antialiasing

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A square picture of `size` pixels, drawn in local coordinates.

    The local frame has x to the right and y down; `place` says where its origin stands and how long
    its unit is, in fractions of the picture, and may mirror it. Colours are RGB 0–255. Every shape
    may name the part it shows (one of PARTS); shapes drawn inside `defective()` enter the defect mask.
    """

    def __init__(self, size: int, background: Image.Image) -> None:
        self.size = size
        side = size * _SCALE
        self._image = background.resize((side, side), Image.Resampling.BILINEAR)
        self._parts = Image.new("L", (side, side))
        self._defect = Image.new("L", (side, side))
        self._pens = [ImageDraw.Draw(i) for i in (self._image, self._parts, self._defect)]
        self._in_defect = False
        self.place(0.5, 0.5, 0.5)

    def place(self, x: float, y: float, unit: float, mirror: bool = False, upside_down: bool = False) -> None:
        """Set the local frame: origin at (x, y), unit length `unit`, all as fractions of the picture."""
        side = self.size * _SCALE
        self._x, self._y = x * side, y * side
        self._u = unit * side
        self._sx, self._sy = (-1 if mirror else 1), (-1 if upside_down else 1)

    @contextmanager
    def defective(self, on: bool = True) -> Iterator[None]:
        """Shapes drawn inside belong to the defect (nothing changes where not `on`)."""
        before, self._in_defect = self._in_defect, self._in_defect or on
        yield
        self._in_defect = before

    def polygon(self, points: Sequence[Point], fill: Colour, part: str = "background") -> None:
        """A filled polygon."""
        at = [(self._x + x * self._u * self._sx, self._y + y * self._u * self._sy) for x, y in points]
        for pen, value in self._targets(fill, part):
            pen.polygon(at, fill=value)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, part: str = "background"
    ) -> None:
        """A filled ellipse around (x, y) with the half-axes (rx, ry)."""
        box = self._box(x - rx, y - ry, x + rx, y + ry)
        for pen, value in self._targets(fill, part):
            pen.ellipse(box, fill=value)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour, part: str = "background"
    ) -> None:
        """A filled rectangle with the corners (x0, y0) and (x1, y1)."""
        box = self._box(x0, y0, x1, y1)
        for pen, value in self._targets(fill, part):
            pen.rectangle(box, fill=value)

    def line(self, points: Sequence[Point], width: float, fill: Colour, part: str = "background") -> None:
        """A line through `points` with round ends, `width` in local units."""
        at = [(self._x + x * self._u * self._sx, self._y + y * self._u * self._sy) for x, y in points]
        w = max(1, round(width * self._u))
        r = w / 2
        for pen, value in self._targets(fill, part):
            pen.line(at, fill=value, width=w, joint="curve")
            for x, y in (at[0], at[-1]):
                pen.ellipse((x - r, y - r, x + r, y + r), fill=value)

    def missing(self, x: float, y: float, rx: float, ry: float) -> None:
        """Mark an ellipse as defective without drawing: something that belongs there is not there."""
        self._pens[2].ellipse(self._box(x - rx, y - ry, x + rx, y + ry), fill=255)

    def finish(self) -> tuple[Image.Image, np.ndarray, np.ndarray]:
        """The RGB picture, the part labels (uint8 (size, size), indices into PARTS) and the defect mask (bool)."""
        image = self._image.reduce(_SCALE)
        parts = np.asarray(self._parts)[::_SCALE, ::_SCALE]
        mask = np.asarray(self._defect.reduce(_SCALE)) >= 128
        return image, parts, mask

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        xs = sorted((self._x + x0 * self._u * self._sx, self._x + x1 * self._u * self._sx))
        ys = sorted((self._y + y0 * self._u * self._sy, self._y + y1 * self._u * self._sy))
        return xs[0], ys[0], xs[1], ys[1]

    def _targets(self, fill: Colour, part: str) -> list[tuple[ImageDraw.ImageDraw, Colour | int]]:
        # A shape drawn over the defect hides it, so the mask is painted in both cases.
        return [
            (self._pens[0], fill),
            (self._pens[1], PARTS.index(part)),
            (self._pens[2], 255 if self._in_defect else 0),
        ]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (factor > 1)."""
    return tuple(min(255, max(0, round(c * factor))) for c in colour)  # type: ignore[return-value]
