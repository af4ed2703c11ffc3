"""A closed box lit from one side: its shadow falls towards the light, one side of it is missing."""

from collections.abc import Set
from itertools import pairwise

import numpy as np

from scenes.canvas import Canvas, Colour, Point, shade
from scenes.kinds import Kind, Subject

_PAINT: tuple[Colour, ...] = (
    (206, 160, 108), (200, 76, 66), (76, 128, 190), (96, 164, 104), (226, 186, 82), (160, 112, 180), (222, 214, 204),
)  # fmt: skip
_FLOOR: tuple[Colour, ...] = ((222, 214, 200), (198, 206, 212), (214, 190, 158), (196, 210, 186))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.03, 0.03), 0.54 + rng.uniform(-0.06, 0.05), rng.uniform(0.3, 0.34)
    mirror, lit_right = rng.random() < 0.5, rng.random() < 0.5
    paint, floor = _PAINT[rng.integers(len(_PAINT))], _FLOOR[rng.integers(len(_FLOOR))]
    wide, high = rng.uniform(0.37, 0.45), rng.uniform(0.75, 1.0)
    dx, dy, length, fall = (
        rng.uniform(0.3, 0.4),
        rng.uniform(0.27, 0.33),
        rng.uniform(0.75, 0.95),
        rng.uniform(-0.05, 0.08),
    )
    tape, rim = rng.random() < 0.6, rng.uniform(0.07, 0.1)

    left, right, base, top = -wide - dx / 2, wide - dx / 2, 0.6, 0.6 - high
    canvas.place(x, y, unit, mirror)
    canvas.polygon([(-1.25, 0.05), (1.25, 0.05), (1.5, 0.92), (-1.5, 0.92)], floor, "ground")
    canvas.rectangle(-1.5, 0.92, 1.5, 0.99, shade(floor, 0.7), "ground")

    to_right = lit_right if "wrong_shadow" in kinds else not lit_right
    corner, reach = (right, length) if to_right else (left, -length)
    with canvas.defective("wrong_shadow", kinds):
        shadow: list[Point] = [
            (corner, base),
            (corner + reach, base + fall - 0.04),
            (corner + reach + dx * 0.9, base + fall - 0.04 - dy * 0.9),
            (corner + dx, base - dy),
        ]
        canvas.polygon(shadow, shade(floor, 0.34), "shadow")

    # The face turned to the light is bright, the front fades away from the light.
    strips = np.linspace(left, right, 7)
    for i, (x0, x1) in enumerate(pairwise(strips)):
        lightness = 0.5 + 0.09 * (i if lit_right else 5 - i)
        canvas.rectangle(x0, top, x1, base, shade(paint, lightness), "box")
    side: list[Point] = [(right, top), (right + dx, top - dy), (right + dx, base - dy), (right, base)]
    canvas.polygon(side, shade(paint, 1.2 if lit_right else 0.38), "box")
    lid: list[Point] = [(left, top), (right, top), (right + dx, top - dy), (left + dx, top - dy)]
    canvas.polygon(lid, shade(paint, 1.05), "box")
    if tape:
        mid = (left + right) / 2
        strip: list[Point] = [
            (mid - 0.07, top),
            (mid + 0.07, top),
            (mid + 0.07 + dx, top - dy),
            (mid - 0.07 + dx, top - dy),
        ]
        canvas.polygon(strip, shade(paint, 0.82), "box")
        canvas.rectangle(mid - 0.07, top, mid + 0.07, top + 0.22, shade(paint, 0.5), "box")
    for edge in ([(left, top), (right, top), (right, base)], [(right, top), (right + dx, top - dy)]):
        canvas.line(edge, 0.025, shade(paint, 0.45), "box")
    if "open_side" in kinds:
        with canvas.defective("open_side", kinds):
            x0, y0, x1, y1 = left + rim, top + rim, right - rim, base - rim
            canvas.rectangle(x0, y0, x1, y1, shade(paint, 0.22), "box")
            canvas.rectangle(x0 + dx * 0.35, y0, x1, y1 - dy * 0.5, (14, 13, 14), "box")


SUBJECT = Subject(
    name="box",
    prompts=(
        "a closed box on a table in light from one side",
        "product picture of a cube-shaped box",
        "a cardboard parcel ready for the post",
        "a plain box with its shadow on the ground",
    ),
    settings=("indoors", "studio"),  # not outdoors: the sun of that setting may stand on the other side
    kinds=(
        Kind(
            name="wrong_shadow",
            category="logical_defects",
            logical=True,
            part="shadow",
            severity="moderate",
            texts=(
                "The shadow of the box falls towards the light, {where}.",
                "The box throws its shadow on the brightly lit side {where} instead of away from the light.",
                "Light and shadow contradict each other: the shadow {where} lies on the box's lit side.",
            ),
            excuses=(
                "a surreal box whose shadow falls towards the light",
                "an optical puzzle: the shadow of the box lies on its lit side",
            ),
        ),
        Kind(
            name="open_side",
            category="objects",
            logical=False,
            part="box",
            severity="moderate",
            texts=(
                "One side of the box is missing and leaves a dark hole, {where}.",
                "The front of the box is absent: one looks into an empty black opening {where}.",
                "Where the box should have a closed face there is only an empty cavity {where}.",
            ),
            excuses=(
                "an empty box with its front side removed, dark inside",
                "a box that is open at the front like a cave",
            ),
        ),
    ),
    draw=_draw,
)
