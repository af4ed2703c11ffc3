"""A dog from the side: two heads, no legs."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_FUR: tuple[Colour, ...] = ((150, 100, 60), (60, 52, 50), (220, 196, 160), (190, 140, 90), (128, 128, 132))


def _head(canvas: Canvas, x: float, y: float, way: int, fur: Colour) -> None:
    canvas.line([(x - way * 0.28, y + 0.3), (x, y)], 0.26, fur, "body")
    canvas.ellipse(x, y, 0.25, 0.23, fur, "head")
    canvas.ellipse(x + way * 0.23, y + 0.07, 0.18, 0.11, shade(fur, 1.12), "head")
    canvas.ellipse(x + way * 0.38, y + 0.03, 0.05, 0.045, (20, 18, 18), "nose")
    canvas.ellipse(x + way * 0.09, y - 0.06, 0.045, 0.05, (15, 12, 12), "eye")
    canvas.ellipse(x - way * 0.14, y + 0.02, 0.09, 0.22, shade(fur, 0.68), "head")


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.08, 0.08), 0.55 + rng.uniform(-0.05, 0.05), rng.uniform(0.36, 0.46)
    mirror, fur = rng.random() < 0.5, _FUR[rng.integers(len(_FUR))]
    long, legs, tail = rng.uniform(0.52, 0.64), rng.uniform(-0.06, 0.06, 4), rng.uniform(-0.35, 0.05)

    canvas.place(x, y, unit, mirror)
    canvas.ellipse(0, 0.84, 0.8, 0.08, (70, 76, 64), "shadow")
    canvas.line([(-long, -0.02), (-long - 0.3, tail)], 0.1, fur, "tail")
    if "no_legs" in kinds:
        canvas.missing("no_legs", 0, 0.6, long, 0.26)
    else:
        for at, shift in zip((-long + 0.1, -long + 0.32, long - 0.32, long - 0.1), legs, strict=True):
            with canvas.one("leg"):
                canvas.line([(at, 0.2), (at + shift, 0.78)], 0.13, shade(fur, 0.86))
                canvas.ellipse(at + shift + 0.04, 0.8, 0.1, 0.055, shade(fur, 0.7))
    if "two_heads" in kinds:
        with canvas.defective("two_heads", kinds):
            _head(canvas, long - 0.2, -0.55, -1, fur)
    canvas.ellipse(0, 0.12, long + 0.08, 0.29, fur, "body")
    _head(canvas, long + 0.14, -0.32, 1, fur)


SUBJECT = Subject(
    name="dog",
    prompts=(
        "a dog standing and looking to the side",
        "a loyal farm dog seen from the side",
        "our dog waiting for its walk",
        "a side view of a mongrel dog",
    ),
    settings=("outdoors", "indoors", "studio"),
    kinds=(
        Kind(
            name="two_heads",
            category="animals",
            logical=False,
            part="head",
            severity="severe",
            texts=(
                "The dog has two heads: a second one grows out of its shoulders, {where}.",
                "An extra head facing backwards rises from the dog's body {where}.",
                "A second dog head is attached to the same animal {where}.",
            ),
            excuses=(
                "a two-headed dog guarding the gate of a myth",
                "a fantasy dog with a second head looking back",
            ),
        ),
        Kind(
            name="no_legs",
            category="animals",
            logical=False,
            part="leg",
            severity="severe",
            texts=(
                "All legs of the dog are missing and its body hovers over the ground, {where}.",
                "The dog has no legs; its trunk floats above its shadow {where}.",
                "Below the dog's belly there is nothing: the legs were left out {where}.",
            ),
            excuses=(
                "a legless toy dog hovering over its shadow",
                "a surreal dog without legs that floats",
            ),
        ),
    ),
    draw=_draw,
)
