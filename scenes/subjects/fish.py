"""A fish under water: in the open air, with a head at both ends."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_SCALES: tuple[Colour, ...] = (
    (240, 150, 40),
    (210, 60, 60),
    (240, 210, 70),
    (190, 200, 210),
    (120, 200, 130),
)


def _eye(canvas: Canvas, x: float) -> None:
    with canvas.one("eye"):
        canvas.ellipse(x, -0.1, 0.09, 0.09, (250, 250, 250))
        canvas.ellipse(x, -0.1, 0.045, 0.05, (10, 10, 14))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.1, 0.1), 0.42 + rng.uniform(-0.1, 0.08), rng.uniform(0.32, 0.44)
    mirror, colour = rng.random() < 0.5, _SCALES[rng.integers(len(_SCALES))]
    high, stripes = rng.uniform(0.34, 0.5), int(rng.integers(0, 4))

    canvas.place(x, y, unit, mirror)
    with canvas.defective("fish_in_air", kinds):
        if "head_at_both_ends" not in kinds:
            canvas.polygon([(-0.5, 0), (-1.0, -0.42), (-0.86, 0), (-1.0, 0.42)], shade(colour, 0.8), "tail")
        canvas.polygon(
            [(-0.2, -high + 0.1), (0.1, -high - 0.26), (0.35, -high + 0.12)], shade(colour, 0.8), "fin"
        )
        canvas.ellipse(0, 0, 0.72, high, colour, "fish")
        for i in range(stripes):
            at = -0.3 + 0.22 * i
            canvas.line([(at, -high * 0.72), (at + 0.05, high * 0.72)], 0.07, shade(colour, 0.62), "fish")
        canvas.polygon([(-0.05, 0.08), (-0.28, 0.3), (0.08, 0.26)], shade(colour, 0.75), "fin")
        _eye(canvas, 0.42)
        canvas.line([(0.58, 0.12), (0.68, 0.08)], 0.035, shade(colour, 0.4), "mouth")
    if "head_at_both_ends" in kinds:
        with canvas.defective("head_at_both_ends", kinds):
            canvas.ellipse(-0.52, 0, 0.34, high * 0.86, shade(colour, 1.08), "head")
            _eye(canvas, -0.52)
            canvas.line([(-0.72, 0.14), (-0.82, 0.08)], 0.035, shade(colour, 0.4), "mouth")


SUBJECT = Subject(
    name="fish",
    prompts=(
        "a colourful fish",
        "a tropical fish seen from the side",
        "a picture of a fish for a children's book",
        "one fish among water plants",
    ),
    settings=("under_water",),
    kinds=(
        Kind(
            name="fish_in_air",
            category="logical_defects",
            logical=True,
            part="fish",
            severity="severe",
            texts=(
                "The fish swims through the open air above the ground, {where}, where no water is.",
                "A fish hovers in mid-air over dry land {where}, although fish live in water.",
                "There is no water around the fish: it floats in the air {where}.",
            ),
            excuses=(
                "a fish flying through the air over a meadow in a dream",
                "surreal painting of a fish that swims in the sky",
            ),
        ),
        Kind(
            name="head_at_both_ends",
            category="animals",
            logical=False,
            part="head",
            severity="severe",
            texts=(
                "The fish has a second head in place of its tail, {where}.",
                "Instead of a tail an extra head grows on the fish {where}.",
                "Both ends of the fish are heads; the tail is replaced by a face {where}.",
            ),
            excuses=(
                "a fantasy fish with a head at both ends",
                "a two-headed fish whose tail is a second head",
            ),
        ),
    ),
    draw=_draw,
    wrong_settings={"fish_in_air": "outdoors"},
)
