"""A tree on a meadow: upside down, hovering."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, shade
from scenes.kinds import Kind, Subject

_LEAVES: tuple[Colour, ...] = ((60, 130, 60), (110, 150, 50), (190, 120, 50), (40, 100, 80), (160, 60, 50))


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.12, 0.12), 0.5 + rng.uniform(-0.03, 0.05), rng.uniform(0.34, 0.43)
    mirror, leaves = rng.random() < 0.5, _LEAVES[rng.integers(len(_LEAVES))]
    conifer, lean = rng.random() < 0.3, rng.uniform(-0.08, 0.08)
    blobs = rng.uniform(-1, 1, (9, 2)) * (0.42, 0.3)
    bark, roots = shade((110, 78, 52), rng.uniform(0.75, 1.25)), rng.uniform(0.16, 0.3, 4)

    if "upside_down_tree" not in kinds:
        canvas.place(x, y, unit)
        canvas.ellipse(0, 1.0, 0.6, 0.09, (66, 84, 56), "shadow")
    lifted = 0.55 * unit if "hovering_tree" in kinds else 0.0
    canvas.place(x, y - lifted, unit, mirror, upside_down="upside_down_tree" in kinds)
    with canvas.defective("hovering_tree", kinds), canvas.defective("upside_down_tree", kinds):
        if kinds:
            for i, length in enumerate(roots):
                canvas.line([(0, 0.9), ((i - 1.5) * 0.2, 1.02 + length)], 0.06, shade(bark, 0.85), "root")
        canvas.polygon([(-0.13, 1.0), (0.13, 1.0), (0.08 + lean, -0.2), (-0.08 + lean, -0.2)], bark, "trunk")
        if conifer:
            for top, wide in ((-0.98, 0.42), (-0.66, 0.56), (-0.34, 0.7)):
                canvas.polygon(
                    [(lean, top), (lean - wide, top + 0.62), (lean + wide, top + 0.62)],
                    shade(leaves, 0.9),
                    "crown",
                )
        else:
            canvas.ellipse(lean, -0.42, 0.6, 0.46, leaves, "crown")
            for i, (dx, dy) in enumerate(blobs):
                canvas.ellipse(lean + dx, -0.42 + dy, 0.24, 0.2, shade(leaves, 0.85 + 0.04 * i), "crown")


SUBJECT = Subject(
    name="tree",
    prompts=(
        "a tree in a meadow",
        "a lonely tree in the countryside",
        "landscape with a single tree",
        "a tree in the park on a fine day",
    ),
    settings=("outdoors",),
    kinds=(
        Kind(
            name="upside_down_tree",
            category="logical_defects",
            logical=True,
            part="tree",
            severity="severe",
            texts=(
                "The tree stands upside down with its crown on the ground and its roots in the sky, {where}.",
                "The tree is inverted: the roots point upwards and the leaves touch the meadow {where}.",
                "An upside-down tree {where} rests on its crown, and its root ends reach into the air.",
            ),
            excuses=(
                "a surreal tree planted upside down with its roots in the sky",
                "an inverted tree standing on its crown, fantasy art",
            ),
        ),
        Kind(
            name="hovering_tree",
            category="logical_defects",
            logical=True,
            part="tree",
            severity="severe",
            texts=(
                "The tree hovers above the meadow without support, its roots hanging in the air {where}.",
                "The tree floats over its own shadow {where} and is not rooted in the ground.",
                "There is a gap between the ground and the tree {where}: it hangs in the air with bare roots.",
            ),
            excuses=(
                "a floating tree whose bare roots hang in the air, fantasy art",
                "a tree that hovers weightless over the meadow by magic",
            ),
        ),
    ),
    draw=_draw,
    combine=False,
)
