"""A standing person: three arms, one leg."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_SKIN: tuple[Colour, ...] = ((244, 208, 180), (214, 166, 130), (166, 116, 84), (112, 76, 56))


def _arm(
    canvas: Canvas, shoulder: tuple[float, float], hand: tuple[float, float], sleeve: Colour, skin: Colour
) -> None:
    bend = ((shoulder[0] * 0.35 + hand[0] * 0.65), (shoulder[1] + hand[1]) / 2 + 0.06)
    with canvas.one("arm"):
        canvas.line([shoulder, bend], 0.19, sleeve)
        canvas.line([bend, hand], 0.14, skin)
        canvas.ellipse(*hand, 0.1, 0.1, skin)


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.03, 0.03), rng.uniform(0.34, 0.44)
    mirror, side = rng.random() < 0.5, -1 if rng.random() < 0.5 else 1
    skin = _SKIN[rng.integers(len(_SKIN))]
    shirt, trousers, hair = (tuple(rng.integers(30, 225, 3).tolist()) for _ in range(3))
    stance, lift = rng.uniform(0.18, 0.3), rng.uniform(-0.15, 0.25, 2)
    extra = rng.uniform(-0.42, -0.2)

    canvas.place(x, y, unit, mirror)
    canvas.ellipse(0, 1.06, 0.5, 0.07, (70, 76, 70), "shadow")
    for leg in (-1, 1):
        if "one_leg" in kinds and leg == side:
            canvas.missing("one_leg", leg * stance * 0.8, 0.66, 0.16, 0.4)
            continue
        with canvas.one("leg"):
            canvas.line([(leg * 0.14, 0.25), (leg * stance, 0.98)], 0.2, trousers)
            canvas.ellipse(leg * (stance + 0.04), 1.02, 0.15, 0.07, shade(trousers, 0.5))
    if "three_arms" in kinds:
        with canvas.defective("three_arms", kinds):
            _arm(canvas, (side * 0.26, -0.12), (side * 0.95, extra), shirt, skin)
    for arm, up in zip((-1, 1), lift, strict=True):
        _arm(canvas, (arm * 0.3, -0.3), (arm * 0.72, 0.3 - up), shirt, skin)
    canvas.polygon([(-0.36, -0.42), (0.36, -0.42), (0.3, 0.34), (-0.3, 0.34)], shirt, "torso")
    canvas.rectangle(-0.08, -0.55, 0.08, -0.38, shade(skin, 0.9), "head")
    canvas.ellipse(0, -0.8, 0.26, 0.29, hair, "hair")
    canvas.ellipse(0, -0.74, 0.22, 0.24, skin, "head")
    for eye in (-0.08, 0.08):
        with canvas.one("eye"):
            canvas.ellipse(eye, -0.76, 0.03, 0.035, (20, 20, 24))
    canvas.line([(-0.06, -0.62), (0.06, -0.62)], 0.025, (160, 70, 70), "mouth")


SUBJECT = Subject(
    name="person",
    prompts=(
        "a person standing and waiting for the bus",
        "a full-length picture of a tourist",
        "a student standing with relaxed arms",
        "somebody waiting for a friend",
    ),
    settings=("outdoors", "indoors", "studio"),
    kinds=(
        Kind(
            name="three_arms",
            category="body",
            logical=False,
            part="arm",
            severity="severe",
            texts=(
                "The person has a third arm that grows out of the side of the body, {where}.",
                "An extra arm sticks out of the torso {where}, so that there are three arms.",
                "Three arms are visible; the additional one leaves the person's side {where}.",
            ),
            excuses=(
                "a mutant with three arms standing still",
                "a science fiction character who has a third arm",
            ),
        ),
        Kind(
            name="one_leg",
            category="body",
            logical=False,
            part="leg",
            severity="severe",
            texts=(
                "One leg of the person is missing: nothing is below the hip, {where}.",
                "The person lacks a leg and stands on a single one; the gap is {where}.",
                "Only one leg was drawn, the place of the second leg is empty {where}.",
            ),
            excuses=(
                "a sailor who lost a leg and stands on the other one",
                "a one-legged acrobat standing in balance",
            ),
        ),
    ),
    draw=_draw,
)
