"""A mug on a table: its handle detached, its coffee flowing upwards."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_GLAZE: tuple[Colour, ...] = ((230, 228, 220), (60, 110, 160), (190, 60, 60), (80, 140, 100), (230, 190, 90))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.48 + rng.uniform(-0.08, 0.08), 0.6 + rng.uniform(-0.05, 0.06), rng.uniform(0.28, 0.38)
    mirror, glaze = rng.random() < 0.5, _GLAZE[rng.integers(len(_GLAZE))]
    wide, high, band = rng.uniform(0.5, 0.62), rng.uniform(0.6, 0.75), rng.random() < 0.5
    away, sway = rng.uniform(0.32, 0.42), rng.uniform(-0.15, 0.15, 3)
    table = shade((150, 108, 74), rng.uniform(0.7, 1.25))

    canvas.place(x, y, unit, mirror)
    canvas.rectangle(-1.3, high * 0.8, 1.3, high * 0.8 + 0.42, table, "ground")
    canvas.rectangle(-1.3, high * 0.8 + 0.42, 1.3, high * 0.8 + 0.5, shade(table, 0.7), "ground")
    canvas.ellipse(0, high + 0.02, wide + 0.2, 0.12, shade(table, 0.6), "shadow")
    shift, drop = (away, -0.35) if "detached_handle" in kinds else (0.0, 0.0)
    with canvas.defective("detached_handle", kinds):
        ring = [
            (wide - 0.1 + 0.34 * np.sin(a) + shift, 0.05 - 0.34 * np.cos(a) + drop)
            for a in np.linspace(0, np.pi, 12)
        ]
        canvas.line(ring, 0.13, shade(glaze, 0.82), "handle")
    canvas.polygon([(-wide, -high), (wide, -high), (wide * 0.86, high), (-wide * 0.86, high)], glaze, "cup")
    canvas.ellipse(0, high, wide * 0.86, 0.1, glaze, "cup")
    if band:
        canvas.polygon(
            [(-wide * 0.96, -0.2), (wide * 0.96, -0.2), (wide * 0.92, 0.1), (-wide * 0.92, 0.1)],
            shade(glaze, 0.7),
            "cup",
        )
    canvas.ellipse(0, -high, wide, 0.14, shade(glaze, 0.85), "cup")
    canvas.ellipse(0, -high, wide * 0.88, 0.1, (70, 42, 24), "liquid")
    if "upward_flow" in kinds:
        with canvas.defective("upward_flow", kinds):
            path = [(0, -high), (sway[0], -high - 0.35), (sway[1], -high - 0.65), (sway[2], -high - 0.95)]
            canvas.line(path, 0.22, (70, 42, 24), "liquid")
            canvas.ellipse(sway[2], -high - 1.0, 0.26, 0.2, (70, 42, 24), "liquid")


SUBJECT = Subject(
    name="mug",
    prompts=(
        "a mug of coffee on a table",
        "breakfast still life with a coffee mug",
        "a cup of hot coffee in the morning",
        "product picture of a ceramic mug",
    ),
    settings=("indoors", "studio"),
    kinds=(
        Kind(
            name="detached_handle",
            category="objects",
            logical=False,
            part="handle",
            severity="moderate",
            texts=(
                "The handle of the mug is detached and hangs in the air beside it, {where}.",
                "The mug's handle does not touch the cup: it floats apart from it {where}.",
                "A loose handle hovers next to the cup {where} without any connection.",
            ),
            excuses=(
                "a broken mug whose handle has come off and floats beside it",
                "exploded view of a mug with its handle apart",
            ),
        ),
        Kind(
            name="upward_flow",
            category="logical_defects",
            logical=True,
            part="liquid",
            severity="severe",
            texts=(
                "The coffee flows upwards out of the mug against gravity, {where}.",
                "A stream of coffee rises straight up from the cup {where}, which gravity forbids.",
                "The liquid pours towards the ceiling {where} instead of staying in the mug.",
            ),
            excuses=(
                "coffee that flows upwards out of the mug as if gravity were reversed",
                "a magic mug with coffee rising into the air",
            ),
        ),
    ),
    draw=_draw,
)
