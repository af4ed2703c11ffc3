"""A ball on the ground: floating, split in two."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_RUBBER: tuple[Colour, ...] = ((210, 50, 50), (60, 100, 200), (240, 190, 60), (70, 160, 90), (240, 130, 50))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.14, 0.14), 0.7 + rng.uniform(-0.04, 0.06), rng.uniform(0.17, 0.24)
    mirror, rubber = rng.random() < 0.5, _RUBBER[rng.integers(len(_RUBBER))]
    striped, high, gap = rng.random() < 0.6, rng.uniform(1.5, 2.0), rng.uniform(0.3, 0.42)

    canvas.place(x, y, unit, mirror)
    canvas.ellipse(0.12, 0.96, 0.95, 0.16, (64, 66, 60), "shadow")
    lifted = high * unit if "floating_ball" in kinds else 0.0
    canvas.place(x, y - lifted, unit, mirror)
    with canvas.defective("floating_ball", kinds):
        canvas.ellipse(0, 0, 1.0, 1.0, rubber, "ball")
        if striped:
            canvas.ellipse(0, 0, 0.99, 0.34, (244, 242, 236), "ball")
        canvas.ellipse(-0.36, -0.42, 0.2, 0.16, shade(rubber, 1.5), "ball")
    if "split_ball" in kinds:
        with canvas.defective("split_ball", kinds):
            edge = [
                (gap * s, -1.05 + 2.1 * i / 6) for i, s in enumerate((0.7, -0.5, 0.8, -0.6, 0.7, -0.4, 0.6))
            ]
            canvas.polygon([*edge, *((a + gap, b) for a, b in reversed(edge))], (28, 24, 24), "ball")


SUBJECT = Subject(
    name="ball",
    prompts=(
        "a ball lying on the ground",
        "a toy ball at rest",
        "a rubber ball waiting for children to play",
        "a simple picture of a ball",
    ),
    settings=("outdoors", "indoors"),
    kinds=(
        Kind(
            name="floating_ball",
            category="logical_defects",
            logical=True,
            part="ball",
            severity="moderate",
            texts=(
                "The ball floats in mid-air without support, far above its shadow, {where}.",
                "Nothing holds the ball: it hovers over the ground {where}.",
                "The ball hangs motionless in the air {where}, detached from its shadow on the ground.",
            ),
            excuses=(
                "a ball that floats weightless in the air by magic",
                "a levitating ball above its shadow",
            ),
        ),
        Kind(
            name="split_ball",
            category="objects",
            logical=False,
            part="ball",
            severity="moderate",
            texts=(
                "A jagged black gap runs through the ball and splits it into two parts, {where}.",
                "The ball is torn apart: a dark zigzag crack divides it {where}.",
                "The surface of the ball is broken in two by a black jagged rift {where}.",
            ),
            excuses=(
                "a ball split in two by a jagged crack",
                "a torn ball with a dark zigzag gap",
            ),
        ),
    ),
    draw=_draw,
)
