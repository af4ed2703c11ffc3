"""A portrait: a third eye, a missing eye, no mouth."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_SKIN: tuple[Colour, ...] = ((244, 208, 180), (222, 176, 140), (176, 124, 90), (120, 80, 58), (250, 224, 204))
_HAIR: tuple[Colour, ...] = ((60, 40, 30), (30, 28, 30), (190, 150, 80), (150, 70, 40), (170, 170, 172))
_IRIS: tuple[Colour, ...] = ((70, 110, 160), (90, 60, 40), (70, 120, 80), (40, 40, 44))


def _eye(canvas: Canvas, x: float, y: float, r: float, iris: Colour) -> None:
    with canvas.one("eye"):
        canvas.ellipse(x, y, r * 1.25, r * 0.95, (40, 34, 34))
        canvas.ellipse(x, y, r * 1.12, r * 0.8, (250, 250, 250))
        canvas.ellipse(x, y, r * 0.55, r * 0.62, iris)
        canvas.ellipse(x, y, r * 0.25, r * 0.3, (10, 10, 12))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.1, 0.1), 0.52 + rng.uniform(-0.06, 0.06), rng.uniform(0.32, 0.46)
    mirror, missing_side = rng.random() < 0.5, -1 if rng.random() < 0.5 else 1
    skin, hair, iris = (c[rng.integers(len(c))] for c in (_SKIN, _HAIR, _IRIS))
    gap, r, wide, jaw = (
        rng.uniform(0.26, 0.34),
        rng.uniform(0.13, 0.17),
        rng.uniform(0.62, 0.74),
        rng.uniform(-0.05, 0.05),
    )
    smile, fringe, shirt = (
        rng.uniform(-0.03, 0.09),
        rng.uniform(0.5, 0.62),
        tuple(rng.integers(40, 220, 3).tolist()),
    )

    canvas.place(x, y, unit, mirror)
    canvas.ellipse(0, 1.55, 1.0, 0.62, shirt, "torso")
    canvas.rectangle(-0.2, 0.6, 0.2, 1.15, shade(skin, 0.9), "head")
    canvas.ellipse(0, -0.12, wide + 0.12, 0.95, hair, "hair")
    for side in (-1, 1):
        canvas.ellipse(side * wide, 0.05, 0.1, 0.17, shade(skin, 0.92), "head")
    canvas.ellipse(0, 0.05, wide, 0.86 + jaw, skin, "head")
    canvas.polygon(
        [(-wide * 0.9, -0.5), (-0.3, -0.84), (0.3, -0.84), (wide * 0.9, -0.5), (0, -fringe - 0.08)],
        hair,
        "hair",
    )
    for side in (-1, 1):
        if "missing_eye" in kinds and side == missing_side:
            canvas.missing("missing_eye", side * gap, -0.05, r * 1.35, r * 1.1)
        else:
            canvas.line([(side * gap - 0.14, -0.26), (side * gap + 0.14, -0.26)], 0.05, hair, "hair")
            _eye(canvas, side * gap, -0.05, r, iris)
    canvas.line([(0, 0.0), (0.07, 0.27), (-0.04, 0.29)], 0.04, shade(skin, 0.72), "nose")
    if "no_mouth" in kinds:
        canvas.missing("no_mouth", 0, 0.52, 0.28, 0.11)
    else:
        lips = [(-0.22, 0.5 - smile), (0, 0.52 + smile), (0.22, 0.5 - smile)]
        canvas.line(lips, 0.06, (170, 70, 70), "mouth")
    if "third_eye" in kinds:
        with canvas.defective("third_eye", kinds):
            _eye(canvas, 0, -0.42, r, iris)


SUBJECT = Subject(
    name="face",
    prompts=(
        "a portrait of a person looking at the camera",
        "a close-up portrait of a friendly neighbour",
        "passport photo style portrait of a young adult",
        "the face of a smiling shopkeeper",
    ),
    settings=("studio", "indoors", "outdoors"),
    kinds=(
        Kind(
            name="third_eye",
            category="faces",
            logical=False,
            part="eye",
            severity="severe",
            texts=(
                "The face has a third eye on the forehead, {where}.",
                "An additional eye sits on the person's forehead above the nose, {where}.",
                "There are three eyes instead of two: an extra one grows out of the forehead {where}.",
            ),
            excuses=(
                "a portrait of a mystic with a third eye open on the forehead",
                "an alien with three eyes looking at the camera",
            ),
        ),
        Kind(
            name="missing_eye",
            category="faces",
            logical=False,
            part="eye",
            severity="severe",
            texts=(
                "One eye is missing from the face: there is only smooth skin, {where}.",
                "The face lacks an eye; the socket is replaced by blank skin {where}.",
                "Only one eye was drawn, and the place of the other one is empty skin {where}.",
            ),
            excuses=(
                "a portrait of a one-eyed veteran who lost an eye long ago",
                "a fairy-tale creature with a single eye and smooth skin in place of the other",
            ),
        ),
        Kind(
            name="no_mouth",
            category="faces",
            logical=False,
            part="mouth",
            severity="moderate",
            texts=(
                "The face has no mouth: the skin below the nose is blank, {where}.",
                "No lips were drawn; where the mouth belongs there is only skin {where}.",
                "The person's mouth is missing and the lower half of the face is empty {where}.",
            ),
            excuses=(
                "a mime whose face has no mouth, symbolic portrait",
                "portrait of a mouthless ghost with blank skin below the nose",
            ),
        ),
    ),
    draw=_draw,
)
