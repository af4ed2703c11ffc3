"""An open hand: a sixth finger, a finger missing."""

from collections.abc import Set
from math import cos, radians, sin

import numpy as np

from scenes.canvas import Canvas, Colour, Point, shade
from scenes.kinds import Kind, Subject

_SKIN: tuple[Colour, ...] = ((244, 208, 180), (224, 178, 142), (184, 132, 98), (124, 84, 62), (250, 224, 204))
_NAIL: Colour = (250, 226, 220)
_BASES = (-0.36, -0.13, 0.11, 0.34)  # where the four fingers leave the palm, from the index finger on


def _turn(points: list[Point], angle: float) -> list[Point]:
    # The hand leans around its wrist.
    c, s = cos(angle), sin(angle)
    return [(x * c - (y - 0.9) * s, 0.9 + x * s + (y - 0.9) * c) for x, y in points]


def _finger(canvas: Canvas, root: Point, tip: Point, width: float, skin: Colour) -> None:
    near = (root[0] + 0.93 * (tip[0] - root[0]), root[1] + 0.93 * (tip[1] - root[1]))
    with canvas.one("finger"):
        canvas.line([root, tip], width + 0.05, shade(skin, 0.55))
        canvas.line([root, tip], width, skin)
        canvas.line([near, tip], width * 0.5, _NAIL)


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.07, 0.07), 0.52 + rng.uniform(-0.04, 0.04), rng.uniform(0.36, 0.44)
    mirror, skin = rng.random() < 0.5, _SKIN[rng.integers(len(_SKIN))]
    sleeve = tuple(rng.integers(30, 220, 3).tolist())
    lean, step, width = radians(rng.uniform(-12, 12)), rng.uniform(15, 19), rng.uniform(0.145, 0.165)
    lengths = np.array([0.78, 0.86, 0.8, 0.66]) * rng.uniform(0.93, 1.05, 4)
    angles = (np.arange(4) - 1.5) * step + rng.uniform(-1.5, 1.5, 4)
    thumb = (rng.uniform(-1.0, -0.86), rng.uniform(-0.05, 0.12))
    lost, between = int(rng.integers(1, 3)), int(rng.integers(4))

    roots: list[Point] = [(b, 0.16 + 0.1 * abs(b)) for b in _BASES]
    tips: list[Point] = [
        (r[0] + n * sin(radians(a)), r[1] - n * cos(radians(a)))
        for r, n, a in zip(roots, lengths + 0.12, angles, strict=True)
    ]
    # The sixth finger stands in the gap after finger `between`; after the little finger there is only the edge.
    if between < 3:
        extra = [
            ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2)
            for p, q in ((roots[between], roots[between + 1]), (tips[between], tips[between + 1]))
        ]
    else:
        extra = [(0.3, 0.5), (1.0, 0.12)]

    canvas.place(x, y, unit, mirror)
    canvas.line(_turn([(0, 0.7), (0, 1.5)], lean), 0.56, shade(skin, 0.9), "arm")
    canvas.polygon(_turn([(-0.36, 1.02), (0.36, 1.02), (0.44, 1.7), (-0.44, 1.7)], lean), sleeve, "arm")
    if "extra_finger" in kinds:
        with canvas.defective("extra_finger", kinds):
            root, tip = _turn(extra, lean)
            _finger(canvas, root, tip, width, skin)
    root, tip = _turn([(-0.26, 0.62), thumb], lean)
    _finger(canvas, root, tip, width * 1.15, skin)
    for i in range(4):
        if "missing_finger" not in kinds or i != lost:
            root, tip = _turn([roots[i], tips[i]], lean)
            _finger(canvas, root, tip, width, skin)
    palm: list[Point] = [
        (-0.47, 0.2),
        (-0.3, 0.11),
        (0, 0.08),
        (0.28, 0.11),
        (0.45, 0.2),
        (0.4, 0.62),
        (0.28, 0.95),
    ]
    canvas.polygon(_turn([*palm, (-0.28, 0.95), (-0.42, 0.62)], lean), skin, "palm")
    for crease in ([(-0.4, 0.42), (0.0, 0.34), (0.34, 0.4)], [(-0.3, 0.56), (0.0, 0.54), (0.1, 0.82)]):
        canvas.line(_turn(crease, lean), 0.025, shade(skin, 0.75), "palm")
    if "missing_finger" in kinds:
        (rx, ry), (tx, ty) = roots[lost], tips[lost]
        for t in np.linspace(0.25, 0.95, 8):
            (at,) = _turn([(rx + t * (tx - rx), ry + t * (ty - ry))], lean)
            canvas.missing("missing_finger", *at, width * 0.75, width * 0.75)


SUBJECT = Subject(
    name="hand",
    prompts=(
        "an open hand with spread fingers",
        "a close-up of a hand held up in greeting",
        "the raised palm of a volunteer",
        "a picture of somebody's open hand",
    ),
    settings=("studio", "indoors", "outdoors"),
    kinds=(
        Kind(
            name="extra_finger",
            category="body",
            logical=False,
            part="finger",
            severity="severe",
            texts=(
                "The hand has six fingers: one too many grows out of it {where}.",
                "An extra finger stands beside the others on the hand, {where}.",
                "There is a sixth finger on this hand {where}, where people have five.",
            ),
            excuses=(
                "an alien's open hand with six fingers",
                "a hand with six fingers, a case of polydactyly",
            ),
        ),
        Kind(
            name="missing_finger",
            category="body",
            logical=False,
            part="finger",
            severity="severe",
            texts=(
                "A finger is missing from the hand, leaving an empty gap {where}.",
                "The hand has only four fingers; the place of the fifth one is empty, {where}.",
                "Between the other fingers there is a hole {where} where one more finger belongs.",
            ),
            excuses=(
                "the open hand of a carpenter who lost a finger to a saw",
                "a hand with one finger missing after an amputation",
            ),
        ),
    ),
    draw=_draw,
    combine=False,  # six less one is five again
)
