"""A wall clock: no hands, half of its dial missing."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_RIM: tuple[Colour, ...] = ((70, 60, 54), (150, 40, 40), (40, 80, 120), (180, 150, 80), (30, 30, 34))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.1, 0.1), 0.46 + rng.uniform(-0.08, 0.08), rng.uniform(0.3, 0.42)
    rim = _RIM[rng.integers(len(_RIM))]
    hour, minute, side = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), -1 if rng.random() < 0.5 else 1
    dial = (int(rng.integers(228, 255)),) * 3

    canvas.place(x, y, unit)
    canvas.ellipse(0.05, 0.07, 1.0, 1.0, (90, 86, 84), "shadow")
    canvas.ellipse(0, 0, 1.0, 1.0, rim, "dial")
    canvas.ellipse(0, 0, 0.86, 0.86, dial, "dial")
    for i in range(12):
        dx, dy = np.sin(i * np.pi / 6), np.cos(i * np.pi / 6)
        canvas.line([(0.7 * dx, 0.7 * dy), (0.8 * dx, 0.8 * dy)], 0.06, (40, 40, 44), "tick")
    if "no_hands" in kinds:
        canvas.missing("no_hands", 0, 0, 0.6, 0.6)
    else:
        for angle, length, width in ((hour, 0.42, 0.11), (minute, 0.64, 0.075)):
            with canvas.one("hand"):
                canvas.line([(0, 0), (length * np.sin(angle), -length * np.cos(angle))], width, (24, 24, 28))
        canvas.ellipse(0, 0, 0.07, 0.07, rim, "hand")
    if "half_dial" in kinds:
        with canvas.defective("half_dial", kinds):
            points = [
                (side * 0.1, -1.08),
                (side * 0.02, -0.4),
                (side * 0.2, 0.1),
                (side * 0.0, 0.55),
                (side * 0.14, 1.08),
            ]
            canvas.polygon([*points, (side * 1.14, 1.08), (side * 1.14, -1.08)], shade((200, 192, 184), 0.9))


SUBJECT = Subject(
    name="clock",
    prompts=(
        "a round wall clock",
        "an old station clock",
        "a kitchen clock showing the time",
        "product picture of a clock",
    ),
    settings=("indoors", "studio"),
    kinds=(
        Kind(
            name="no_hands",
            category="objects",
            logical=False,
            part="hand",
            severity="moderate",
            texts=(
                "The clock has no hands: its dial is empty between the ticks, {where}.",
                "Both hands of the clock are missing {where}, so that it shows no time.",
                "The dial {where} lacks an hour hand and a minute hand.",
            ),
            excuses=(
                "a clock without hands as a symbol of timelessness",
                "a broken clock whose hands are gone",
            ),
        ),
        Kind(
            name="half_dial",
            category="objects",
            logical=False,
            part="dial",
            severity="severe",
            texts=(
                "Half of the clock's dial is missing and ends in a blank grey area, {where}.",
                "The clock is incompletely drawn: one half of its face is an empty patch {where}.",
                "A grey blank covers one side of the clock {where}; that half of the dial is not rendered.",
            ),
            excuses=(
                "a clock of which only one half was painted on purpose",
                "an unfinished half clock, concept art",
            ),
        ),
    ),
    draw=_draw,
)
