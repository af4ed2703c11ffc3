"""Backgrounds: sky and meadow, wall and floor, a studio's gradient, under water."""

import numpy as np
from PIL import Image

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Setting

HORIZON = 0.62  # fraction of the height at which the ground or the floor begins, before its jitter


def background(setting: Setting, size: int, rng: np.random.Generator) -> Canvas:
    """A canvas of `size` pixels with the setting painted on it."""
    jitter = rng.uniform(0.8, 1.2, 6)
    seeds = rng.uniform(0, 1, 24)
    ground = HORIZON + 0.1 * (seeds[0] - 0.5)
    if setting == "outdoors":
        canvas = Canvas(size, _gradient(shade((120, 180, 235), jitter[0]), shade((215, 232, 245), jitter[1])))
        _outdoors(canvas, seeds, ground, jitter)
    elif setting == "indoors":
        wall = _pick(
            ((214, 200, 180), (188, 204, 196), (200, 188, 208), (222, 212, 160), (170, 186, 204)), seeds[1]
        )
        canvas = Canvas(size, _gradient(shade(wall, jitter[0]), shade(wall, jitter[0] * 0.9)))
        _indoors(canvas, seeds, ground, jitter)
    elif setting == "studio":
        tone = _pick(
            ((230, 228, 224), (90, 96, 110), (150, 170, 190), (200, 160, 150), (140, 170, 140)), seeds[1]
        )
        canvas = Canvas(size, _gradient(shade(tone, jitter[0]), shade(tone, jitter[1] * 0.75)))
    else:
        canvas = Canvas(size, _gradient(shade((40, 140, 185), jitter[0]), shade((8, 50, 95), jitter[1])))
        _under_water(canvas, seeds, jitter)
    return canvas


def _outdoors(canvas: Canvas, seeds: np.ndarray, ground: float, jitter: np.ndarray) -> None:
    canvas.place(0, 0, 1)
    if seeds[2] > 0.4:
        canvas.ellipse(seeds[3], 0.05 + 0.12 * seeds[4], 0.06, 0.06, (255, 236, 150))
    for i in range(int(seeds[5] * 4)):
        x, y = seeds[6 + i], 0.06 + 0.22 * seeds[10 + i]
        for dx in (-0.06, 0.0, 0.06):
            canvas.ellipse(x + dx, y, 0.07, 0.035, (246, 248, 250))
    if seeds[14] > 0.5:
        canvas.ellipse(seeds[15], ground + 0.1, 0.45, 0.22, shade((110, 150, 120), jitter[2]))
    colour = _pick(((96, 150, 70), (140, 160, 80), (190, 170, 120), (120, 140, 90)), seeds[16])
    canvas.rectangle(0, ground, 1, 1, shade(colour, jitter[3]), "ground")


def _indoors(canvas: Canvas, seeds: np.ndarray, ground: float, jitter: np.ndarray) -> None:
    canvas.place(0, 0, 1)
    if seeds[2] > 0.5:
        x, y = 0.08 + 0.6 * seeds[3], 0.06 + 0.1 * seeds[4]
        canvas.rectangle(x, y, x + 0.24, y + 0.2, shade((110, 80, 60), jitter[1]))
        canvas.rectangle(x + 0.02, y + 0.02, x + 0.22, y + 0.18, shade((190, 215, 230), jitter[2]))
    floor = _pick(((140, 100, 70), (110, 110, 118), (170, 130, 96), (90, 70, 60)), seeds[5])
    canvas.rectangle(0, ground, 1, 1, shade(floor, jitter[3]), "ground")
    canvas.rectangle(0, ground, 1, ground + 0.015, shade(floor, jitter[3] * 0.7), "ground")


def _under_water(canvas: Canvas, seeds: np.ndarray, jitter: np.ndarray) -> None:
    canvas.place(0, 0, 1)
    canvas.ellipse(0.5, 1.05, 0.9, 0.22, shade((150, 140, 100), jitter[2]), "ground")
    for i in range(2 + int(seeds[2] * 4)):
        x = seeds[3 + i]
        stem = [(x + 0.02 * np.sin(k * 1.3 + i), 0.98 - 0.07 * k) for k in range(4 + int(3 * seeds[9]))]
        canvas.line(stem, 0.02, shade((40, 120, 70), jitter[3]), "water")
    for i in range(3 + int(seeds[10] * 5)):
        r = 0.008 + 0.014 * seeds[11 + i % 5]
        canvas.ellipse(seeds[(12 + i) % 24], seeds[(5 + 3 * i) % 24] * 0.8, r, r, (170, 215, 235), "water")


def _gradient(top: Colour, bottom: Colour) -> Image.Image:
    ramp = np.linspace(0, 1, 32)[:, None, None]
    rows = np.array(top) * (1 - ramp) + np.array(bottom) * ramp
    return Image.fromarray(np.broadcast_to(rows, (32, 32, 3)).astype(np.uint8), "RGB")


def _pick(colours: tuple[Colour, ...], at: float) -> Colour:
    return colours[min(int(at * len(colours)), len(colours) - 1)]
