"""A glass of water: its surface slanted, water hanging in the air without a glass."""

from collections.abc import Set
from math import radians, tan

import numpy as np

from scenes.canvas import Canvas, Colour, Point, shade
from scenes.kinds import Kind, Subject

_WATER: tuple[Colour, ...] = ((84, 158, 214), (60, 140, 196), (96, 186, 210), (70, 120, 200))
_TOP, _BOTTOM = -0.95, 0.8


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    aside, y, unit = rng.uniform(0.08, 0.14), 0.52 + rng.uniform(-0.05, 0.05), rng.uniform(0.34, 0.4)
    mirror, water = rng.random() < 0.5, _WATER[rng.integers(len(_WATER))]
    wide, taper, level = rng.uniform(0.4, 0.5), rng.uniform(0.76, 0.95), rng.uniform(-0.45, 0.05)
    slope = tan(radians(rng.uniform(25, 35))) * (-1 if rng.random() < 0.5 else 1)
    table, tint = shade((150, 108, 74), rng.uniform(0.7, 1.25)), rng.uniform(0.92, 1.04)
    blob, bumps = (rng.uniform(0.98, 1.08), rng.uniform(-0.62, -0.3)), rng.uniform(0.82, 1.12, 8)
    pane, rim = shade((222, 232, 236), tint), shade((150, 168, 178), tint)

    def half(at: float) -> float:
        # Half the inner width of the glass at the height `at`.
        return wide * (1 + (taper - 1) * (at - _TOP) / (_BOTTOM - _TOP)) - 0.04

    def surface(angles: np.ndarray, tilt: float) -> list[Point]:
        w = half(level)
        return [
            (float(w * np.cos(a)), float(level + 0.045 * np.sin(a) + tilt * w * np.cos(a))) for a in angles
        ]

    # The glass stands aside so that there is room for the water that hangs beside it.
    canvas.place(0.5 + (aside if mirror else -aside), y, unit, mirror)
    canvas.rectangle(-0.9, _BOTTOM - 0.1, 1.55, _BOTTOM + 0.3, table, "ground")
    canvas.rectangle(-0.9, _BOTTOM + 0.3, 1.55, _BOTTOM + 0.38, shade(table, 0.7), "ground")
    canvas.ellipse(0.08, _BOTTOM + 0.04, wide * taper + 0.18, 0.1, shade(table, 0.6), "shadow")
    sides: list[Point] = [(-wide, _TOP), (wide, _TOP), (wide * taper, _BOTTOM), (-wide * taper, _BOTTOM)]
    canvas.polygon(sides, pane, "glass")
    canvas.ellipse(0, _BOTTOM, wide * taper, 0.07, rim, "glass")
    canvas.ellipse(0, _TOP, wide, 0.07, rim, "glass")
    canvas.ellipse(0, _TOP, wide - 0.05, 0.045, shade(pane, 0.93), "glass")

    floor = _BOTTOM - 0.05
    tilt = slope if "slanted_water" in kinds else 0.0
    rise = abs(slope) * half(level) + 0.06
    front = surface(np.linspace(0, np.pi, 12), tilt)
    with canvas.defective("slanted_water", kinds):
        if "slanted_water" in kinds:  # the patch: where water is missing and where there is too much of it
            a, b = half(level - rise), half(level + rise)
            patch: list[Point] = [
                (-a, level - rise),
                (a, level - rise),
                (b, level + rise),
                (-b, level + rise),
            ]
            canvas.polygon(patch, pane, "glass")
        canvas.polygon([*front, (-half(floor), floor), (half(floor), floor)], water, "water")
        canvas.polygon(surface(np.linspace(0, 2 * np.pi, 20), tilt), shade(water, 1.3), "water")
        canvas.line(front, 0.03, shade(water, 0.6), "water")
    # Only the upper part is wrong: the water beneath it stands as it should.
    low = level + rise
    below: list[Point] = [(-half(low), low), (half(low), low), (half(floor), floor), (-half(floor), floor)]
    canvas.polygon(below, water, "water")
    for p, q in ((sides[0], sides[3]), (sides[1], sides[2])):
        canvas.line([p, q], 0.045, rim, "glass")
    canvas.line(
        [(-wide * 0.68, _TOP + 0.25), (-wide * taper * 0.68, _BOTTOM - 0.25)], 0.05, (248, 252, 253), "glass"
    )

    if "water_without_glass" in kinds:
        with canvas.defective("water_without_glass", kinds):
            turns = np.linspace(0, 2 * np.pi, 33)[:-1]
            radius = 0.37 * np.interp(turns, np.linspace(0, 2 * np.pi, 9), [*bumps, bumps[0]])
            ring: list[Point] = [
                (float(blob[0] + r * np.cos(t)), float(blob[1] + 1.1 * r * np.sin(t)))
                for r, t in zip(radius, turns, strict=True)
            ]
            canvas.polygon(ring, water, "water")
            canvas.line([*ring, ring[0]], 0.03, shade(water, 0.7), "water")
            canvas.ellipse(blob[0] - 0.12, blob[1] - 0.15, 0.09, 0.06, (236, 248, 253), "water")


SUBJECT = Subject(
    name="glass",
    prompts=(
        "a glass of water on a table",
        "still life with a drinking glass half full of water",
        "a tumbler of fresh water for a guest",
        "product picture of a water glass",
    ),
    settings=("indoors", "studio"),
    kinds=(
        Kind(
            name="slanted_water",
            category="logical_defects",
            logical=True,
            part="water",
            severity="moderate",
            texts=(
                "The water surface is tilted although the glass stands upright, {where}.",
                "The water in the glass slopes to one side {where} instead of lying level.",
                "A resting liquid is horizontal, but the water line in this glass runs at an angle {where}.",
            ),
            excuses=(
                "an upright glass in which the water surface is slanted as if by magic",
                "a trick picture: the glass stands straight while its water is tilted to one side",
            ),
        ),
        Kind(
            name="water_without_glass",
            category="logical_defects",
            logical=True,
            part="water",
            severity="severe",
            texts=(
                "A body of water hangs in the air beside the glass without any container, {where}.",
                "Next to the glass a lump of water floats {where} and nothing holds it.",
                "Water hovers outside the glass {where}, which gravity does not allow.",
            ),
            excuses=(
                "a glass beside a blob of water floating weightlessly in the air",
                "a space station experiment: a large drop of water hovers next to a glass",
            ),
        ),
    ),
    draw=_draw,
)
