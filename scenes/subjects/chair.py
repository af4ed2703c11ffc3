"""A chair: one of its legs missing, its backrest detached."""

from collections.abc import Set
from math import cos, radians, sin

import numpy as np

from scenes.canvas import Canvas, Colour, Point, shade
from scenes.kinds import Kind, Subject

_WOOD: tuple[Colour, ...] = (
    (178, 122, 70), (142, 88, 52), (214, 172, 110), (236, 232, 224), (170, 50, 46), (50, 90, 130), (90, 130, 100),
)  # fmt: skip


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.48 + rng.uniform(-0.07, 0.07), 0.55 + rng.uniform(-0.03, 0.03), rng.uniform(0.34, 0.4)
    mirror, wood = rng.random() < 0.5, _WOOD[rng.integers(len(_WOOD))]
    cushion = tuple(rng.integers(40, 225, 3).tolist())
    soft, solid, slats = rng.random() < 0.5, rng.random() < 0.35, int(rng.integers(2, 5))
    deep, high, thick = rng.uniform(0.24, 0.3), rng.uniform(0.66, 0.78), rng.uniform(0.1, 0.13)
    splay, lost = rng.uniform(0.0, 0.08), int(rng.integers(4))
    away, tilt = (rng.uniform(0.02, 0.2), rng.uniform(0.34, 0.42)), radians(rng.uniform(6, 16))

    # Front edge of the seat at y 0.2, rear edge at -0.06; the rear legs stand higher in the picture.
    seat: list[Point] = [(-0.6, 0.2), (0.42, 0.2), (0.42 + deep, -0.06), (-0.6 + deep, -0.06)]
    legs: list[tuple[Point, Point]] = [
        ((-0.6 + deep + 0.1, 0.0), (-0.6 + deep + 0.1 - splay, 0.74)),
        ((0.42 + deep - 0.07, 0.0), (0.42 + deep - 0.07 + splay, 0.74)),
        ((-0.53, 0.25), (-0.53 - splay, 0.98)),
        ((0.35, 0.25), (0.35 + splay, 0.98)),
    ]
    left, right = -0.6 + deep + 0.05, 0.42 + deep - 0.05
    detached = "detached_back" in kinds

    def back(points: list[Point]) -> list[Point]:
        if not detached:
            return points
        c, s, mx = cos(tilt), sin(tilt), (left + right) / 2
        return [
            (mx + (px - mx) * c - py * s + away[0] - 0.2 * s, (px - mx) * s + py * c - away[1])
            for px, py in points
        ]

    canvas.place(x, y, unit, mirror)
    canvas.ellipse(0.03, 0.9, 0.82, 0.16, (92, 88, 84), "shadow")
    with canvas.defective("detached_back", kinds):
        for px in (left, right):
            canvas.line(back([(px, -0.04), (px, -high)]), thick, shade(wood, 0.85), "back")
        if solid:
            canvas.polygon(
                back([(left, -high), (right, -high), (right, -0.26), (left, -0.26)]),
                cushion if soft else wood,
                "back",
            )
        else:
            for h in np.linspace(-high, -0.28, slats):
                canvas.line(back([(left, h), (right, h)]), 0.11, wood, "back")
    for i, (top, foot) in enumerate(legs):
        if "missing_chair_leg" not in kinds or i != lost:
            with canvas.one("leg"):
                canvas.line([top, foot], thick + 0.03, shade(wood, 0.45))
                canvas.line([top, foot], thick, shade(wood, 0.7 if i < 2 else 0.95))
    canvas.polygon(seat, cushion if soft else wood, "seat")
    canvas.polygon([seat[0], seat[1], (0.42, 0.31), (-0.6, 0.31)], shade(wood, 0.75), "seat")
    canvas.polygon([seat[1], seat[2], (seat[2][0], seat[2][1] + 0.1), (0.42, 0.31)], shade(wood, 0.6), "seat")
    if "missing_chair_leg" in kinds:
        top, foot = legs[lost]
        for t in np.linspace(0.22 if lost > 1 else 0.5, 0.97, 8):
            at = (top[0] + t * (foot[0] - top[0]), top[1] + t * (foot[1] - top[1]))
            canvas.missing("missing_chair_leg", *at, 0.1, 0.09)


SUBJECT = Subject(
    name="chair",
    prompts=(
        "a wooden chair on the floor",
        "product picture of a kitchen chair",
        "an empty chair waiting for a guest",
        "a simple dining chair seen from the side",
    ),
    settings=("indoors", "studio"),
    kinds=(
        Kind(
            name="missing_chair_leg",
            category="objects",
            logical=False,
            part="leg",
            severity="severe",
            texts=(
                "One leg of the chair is missing: there is nothing below the seat {where}.",
                "The chair stands on three legs only; the place of the fourth is empty, {where}.",
                "A chair leg was left out {where}, so that this corner of the seat has no support.",
            ),
            excuses=(
                "a broken chair that has lost one of its four legs",
                "an artwork: a chair on three legs, the fourth cut off",
            ),
        ),
        Kind(
            name="detached_back",
            category="objects",
            logical=False,
            part="back",
            severity="severe",
            texts=(
                "The backrest of the chair is not joined to the seat and floats apart from it, {where}.",
                "The chair's back hovers {where} without touching the seat.",
                "A gap separates the backrest from the rest of the chair: it hangs in the air {where}.",
            ),
            excuses=(
                "exploded view of a chair with its backrest apart from the seat",
                "a surreal chair whose backrest hovers loose above the seat",
            ),
        ),
    ),
    draw=_draw,
)
