"""A campfire: under water, burning downwards."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, shade
from scenes.kinds import Kind, Subject


def _flames(canvas: Canvas, tongues: np.ndarray, down: bool) -> None:
    for colour, size in (((224, 80, 30), 1.0), ((246, 150, 40), 0.72), ((255, 226, 110), 0.42)):
        for i, (sway, height) in enumerate(tongues):
            base = (i - 1) * 0.34
            tip = (base * 0.6 + 0.2 * sway, 0.35 - size * (0.75 + 0.5 * height))
            points = [
                (base - 0.3 * size, 0.4),
                (base - 0.16 * size, 0.0),
                tip,
                (base + 0.16 * size, 0.0),
                (base + 0.3 * size, 0.4),
            ]
            canvas.polygon([(px, 1.02 - py) if down else (px, py) for px, py in points], colour, "flame")


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.1, 0.1), 0.6 + rng.uniform(-0.05, 0.03), rng.uniform(0.3, 0.42)
    mirror = rng.random() < 0.5
    tongues = rng.uniform(-1, 1, (3, 2)) * (1, 0.5) + (0, 0.5)
    bark, stones = shade((104, 70, 46), rng.uniform(0.7, 1.3)), rng.random() < 0.5
    down = "fire_downwards" in kinds

    canvas.place(x, y - (0.8 * unit if down else 0), unit, mirror)
    if not down:
        canvas.ellipse(0, 0.68, 0.95, 0.14, (56, 52, 48), "shadow")
    if stones:
        for at in np.linspace(-0.85, 0.85, 7):
            canvas.ellipse(at, 0.66, 0.13, 0.09, (126, 124, 122), "ground")
    with canvas.defective("fire_downwards", kinds), canvas.defective("fire_under_water", kinds):
        _flames(canvas, tongues, down)
    for way in (-1, 1):
        canvas.line([(-0.7 * way, 0.62), (0.7 * way, 0.42)], 0.17, shade(bark, 1 + 0.1 * way), "log")


SUBJECT = Subject(
    name="campfire",
    prompts=(
        "a campfire",
        "a burning campfire with logs",
        "a warm fire of two logs",
        "a camp fire on a summer evening",
    ),
    settings=("outdoors",),
    kinds=(
        Kind(
            name="fire_under_water",
            category="logical_defects",
            logical=True,
            part="flame",
            severity="severe",
            texts=(
                "The fire burns under water, {where}, where no flame can burn.",
                "Flames blaze at the bottom of the water {where}, which is impossible.",
                "A campfire is alight although it is submerged, with bubbles around the flames {where}.",
            ),
            excuses=(
                "a magic campfire that burns under water",
                "surreal art of flames burning at the bottom of the sea",
            ),
        ),
        Kind(
            name="fire_downwards",
            category="logical_defects",
            logical=True,
            part="flame",
            severity="severe",
            texts=(
                "The flames burn downwards from the logs, {where}, although fire rises.",
                "The fire hangs below the wood {where}: its flames point to the ground.",
                "Upside-down flames lick down from the logs {where} against the nature of fire.",
            ),
            excuses=(
                "a fire whose flames burn downwards as if gravity were reversed",
                "an inverted campfire with flames pointing to the ground, dream scene",
            ),
        ),
    ),
    draw=_draw,
    combine=False,
    wrong_settings={"fire_under_water": "under_water"},
)
