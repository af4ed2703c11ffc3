"""A pen that paints colour, part instances and defect masks in one go."""

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw

PARTS = (
    "background", "eye", "head", "hair", "nose", "mouth", "dial", "hand", "tick", "trunk", "crown", "root",
    "ball", "shadow", "log", "flame", "water", "fish", "tail", "fin", "cup", "handle", "liquid", "body",
    "leg", "arm", "torso", "ground", "finger", "palm", "letter", "board", "seat", "back", "box", "glass",
)  # fmt: skip
_SCALE = 2  # drawn at twice the size, then averaged down: cheap antialiasing

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A square picture of `size` pixels, drawn in local coordinates.

    `frame` sets the cell of the picture that a subject stands in; `place` sets, within that cell, where
    the local origin stands and how long the local unit is. Local x points right, y down. Colours are RGB 0–255.
    Every shape may name the part it shows (one of PARTS); shapes drawn inside `one(part)` are one
    instance of it (one finger, one leg), shapes outside share an instance per part and cell. Shapes drawn
    inside `defective(kind, …)` enter the mask of that defect.
    """

    def __init__(self, size: int, background: Image.Image) -> None:
        self.size = size
        side = size * _SCALE
        self._image = background.resize((side, side), Image.Resampling.BILINEAR)
        self._parts = Image.new("L", (side, side))
        self._defect = Image.new("L", (side, side))
        self._pens = [ImageDraw.Draw(i) for i in (self._image, self._parts, self._defect)]
        self._instances = [(0, "background")]
        self._shared: dict[tuple[int, str], int] = {(0, "background"): 0}
        self._one: int | None = None
        self._defects: list[tuple[int, str]] = []
        self._in_defect = 0
        self._cell = 0
        self.frame(0, 0.5, 0.5, 1.0)

    def frame(self, cell: int, x: float, y: float, scale: float, mirror: bool = False) -> None:
        """Draw what follows in cell number `cell`: a square of side `scale` around (x, y), fractions of the picture."""
        self._cell, self._frame, self._flip = cell, (x, y, scale), (-1 if mirror else 1)
        self.place(0.5, 0.5, 0.5)

    def place(self, x: float, y: float, unit: float, mirror: bool = False, upside_down: bool = False) -> None:
        """Set the local frame: origin at (x, y), unit length `unit`, all as fractions of the cell."""
        side = self.size * _SCALE
        cx, cy, scale = self._frame
        self._x, self._y = (cx + self._flip * (x - 0.5) * scale) * side, (cy + (y - 0.5) * scale) * side
        self._u = unit * scale * side
        self._sx, self._sy = (-self._flip if mirror else self._flip), (-1 if upside_down else 1)

    @contextmanager
    def defective(self, kind: str, kinds: Set[str]) -> Iterator[None]:
        """Shapes drawn inside belong to the defect `kind` of this cell (nothing changes if it is not in `kinds`)."""
        before = self._in_defect
        if kind in kinds:
            self._in_defect = self._defect_value(kind)
        yield
        self._in_defect = before

    @contextmanager
    def one(self, part: str) -> Iterator[None]:
        """Shapes drawn inside are one instance of `part`, whatever parts they name."""
        before, self._one = self._one, self._new_instance(part)
        yield
        self._one = before

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

    def missing(self, kind: str, x: float, y: float, rx: float, ry: float) -> None:
        """Mark an ellipse as the defect `kind` without drawing: something that belongs there is not there."""
        self._pens[2].ellipse(self._box(x - rx, y - ry, x + rx, y + ry), fill=self._defect_value(kind))

    def finish(self) -> tuple[Image.Image, np.ndarray, list[str], dict[tuple[int, str], np.ndarray]]:
        """The RGB picture; instances uint8 (size, size); their parts; bool (size, size) masks by (cell, kind).

        Instance `i` shows the part `parts[i]`; 0 is the background.
        """
        instances = np.asarray(self._parts)[::_SCALE, ::_SCALE]
        drawn = np.asarray(self._defect)
        masks = {}
        for value, defect in enumerate(self._defects, 1):
            inside = Image.fromarray((drawn == value).astype(np.uint8) * 255)
            masks[defect] = np.asarray(inside.reduce(_SCALE)) >= 128
        return self._image.reduce(_SCALE), instances, [part for _, part in self._instances], masks

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        xs = sorted((self._x + x0 * self._u * self._sx, self._x + x1 * self._u * self._sx))
        ys = sorted((self._y + y0 * self._u * self._sy, self._y + y1 * self._u * self._sy))
        return xs[0], ys[0], xs[1], ys[1]

    def _defect_value(self, kind: str) -> int:
        if (self._cell, kind) not in self._defects:
            self._defects.append((self._cell, kind))
        return self._defects.index((self._cell, kind)) + 1

    def _new_instance(self, part: str) -> int:
        PARTS.index(part)
        self._instances.append((self._cell, part))
        return len(self._instances) - 1

    def _instance(self, part: str) -> int:
        if self._one is not None:
            return self._one
        if part == "background":
            return 0
        if (self._cell, part) not in self._shared:
            self._shared[self._cell, part] = self._new_instance(part)
        return self._shared[self._cell, part]

    def _targets(self, fill: Colour, part: str) -> list[tuple[ImageDraw.ImageDraw, Colour | int]]:
        # A shape drawn over the defect hides it, so the mask is painted in both cases.
        return [
            (self._pens[0], fill),
            (self._pens[1], self._instance(part)),
            (self._pens[2], self._in_defect),
        ]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (factor > 1)."""
    return tuple(min(255, max(0, round(c * factor))) for c in colour)  # type: ignore[return-value]
