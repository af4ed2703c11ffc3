"""A sign with one word on it: its letters garbled, its letters mirrored."""

from collections.abc import Set

import numpy as np

from scenes.canvas import Canvas, Colour, Point, shade
from scenes.kinds import Kind, Subject

# Letters as strokes in a unit square, y down; none of them looks the same in a mirror.
_FONT: dict[str, tuple[list[Point], ...]] = {
    "B": (
        [(0, 0), (0, 1), (0.75, 1), (1, 0.87), (1, 0.63), (0.75, 0.5), (0, 0.5)],
        [(0, 0), (0.7, 0), (0.93, 0.12), (0.93, 0.36), (0.75, 0.5)],
    ),
    "C": ([(1, 0.16), (0.8, 0), (0.2, 0), (0, 0.2), (0, 0.8), (0.2, 1), (0.8, 1), (1, 0.84)],),
    "D": ([(0, 0), (0, 1), (0.65, 1), (1, 0.75), (1, 0.25), (0.65, 0), (0, 0)],),
    "E": ([(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]),
    "F": ([(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]),
    "G": (
        [(1, 0.16), (0.8, 0), (0.2, 0), (0, 0.2), (0, 0.8), (0.2, 1), (0.8, 1), (1, 0.8), (1, 0.55), (0.6, 0.55)],
    ),
    "J": ([(0.3, 0), (1, 0), (1, 0.8), (0.8, 1), (0.2, 1), (0, 0.75)],),
    "K": ([(0, 0), (0, 1)], [(1, 0), (0, 0.58)], [(0.3, 0.42), (1, 1)]),
    "L": ([(0, 0), (0, 1), (1, 1)],),
    "N": ([(0, 1), (0, 0), (1, 1), (1, 0)],),
    "P": ([(0, 1), (0, 0), (0.7, 0), (1, 0.15), (1, 0.42), (0.7, 0.57), (0, 0.57)],),
    "R": (
        [(0, 1), (0, 0), (0.7, 0), (1, 0.15), (1, 0.4), (0.7, 0.53), (0, 0.53)],
        [(0.45, 0.53), (1, 1)],
    ),
    "S": (
        [(1, 0.15), (0.8, 0), (0.2, 0), (0, 0.14), (0, 0.36), (0.2, 0.5), (0.8, 0.5), (1, 0.64), (1, 0.86), (0.8, 1),
         (0.2, 1), (0, 0.85)],
    ),
    "Z": ([(0, 0), (1, 0), (0, 1), (1, 1)],),
}  # fmt: skip
_WORDS = (
    "BED", "RED", "PEN", "LEG", "END", "EGG", "GEL", "ZEN", "ELF", "DEN", "JEEP", "FREE", "KEEP", "SEED", "FEED",
    "REEF", "BEER", "DEER", "PEEL", "REEL", "LENS", "DECK", "DESK", "CELL", "BELL", "REED", "NECK", "SELL", "GREEN",
    "SPEED", "SLEEP", "CREEK", "FENCE", "PRESS", "DRESS", "BREED", "GEESE",
)  # fmt: skip
_BOARDS: tuple[tuple[Colour, Colour], ...] = (
    ((250, 248, 240), (24, 24, 28)), ((36, 92, 60), (248, 248, 240)), ((30, 70, 140), (250, 250, 250)),
    ((180, 36, 36), (252, 250, 244)), ((244, 202, 60), (30, 28, 24)), ((196, 148, 92), (56, 30, 16)),
)  # fmt: skip


def _draw(canvas: Canvas, rng: np.random.Generator, kinds: Set[str]) -> None:
    x, y, unit = 0.5 + rng.uniform(-0.05, 0.05), 0.42 + rng.uniform(-0.06, 0.06), rng.uniform(0.39, 0.44)
    word, (board, ink) = _WORDS[rng.integers(len(_WORDS))], _BOARDS[rng.integers(len(_BOARDS))]
    high, fat, frame = rng.uniform(0.4, 0.52), rng.uniform(0.85, 1.1), rng.random() < 0.6
    posts = (0.0,) if rng.random() < 0.6 else (-0.6, 0.6)
    post = shade((130, 120, 110), rng.uniform(0.5, 1.3))
    nonsense = rng.uniform(0, 1, (5, 3, 4, 2))  # letter, stroke, point, (x, y)
    low, top = nonsense.min((1, 2), keepdims=True), nonsense.max((1, 2), keepdims=True)
    nonsense = (nonsense - low) / (top - low)  # each glyph as large as a letter

    canvas.place(x, y, unit)  # never mirrored: the letters would be
    for at in posts:
        canvas.ellipse(at, 1.2, 0.2, 0.06, (78, 82, 74), "shadow")
        canvas.rectangle(at - 0.07, 0, at + 0.07, 1.2, post)
    edge = high + 0.06
    canvas.rectangle(-1.08, -edge, 1.08, edge, ink if frame else shade(board, 0.7), "board")
    canvas.rectangle(-1.03, -edge + 0.05, 1.03, edge - 0.05, board, "board")

    # All words take the same breadth, up to a limit: letters of a short word are wide.
    slot = min(1.94 / len(word), 0.58)
    wide, tall, left = slot * 0.62, high * 1.3, -slot * len(word) / 2
    thick = min(0.13, slot * 0.24) * fat
    garbled, mirrored = "garbled_letters" in kinds, "mirrored_letters" in kinds
    for i, letter in enumerate(word):
        x0, y0 = left + i * slot + (slot - wide) / 2, -tall / 2
        strokes: list[list[Point]] = list(_FONT[letter])
        if garbled:
            strokes = [[(float(px), float(py)) for px, py in stroke] for stroke in nonsense[i]]
        if mirrored:
            strokes = [[(1 - px, py) for px, py in stroke] for stroke in strokes]
        with canvas.defective("garbled_letters", kinds), canvas.defective("mirrored_letters", kinds):
            if garbled or mirrored:  # the patch makes the mask of a letter one region
                m = (slot - wide) / 2 - 0.005
                canvas.rectangle(x0 - m, y0 - 0.07, x0 + wide + m, y0 + tall + 0.07, board, "board")
            with canvas.one("letter"):
                for stroke in strokes:
                    canvas.line([(x0 + px * wide, y0 + py * tall) for px, py in stroke], thick, ink)


SUBJECT = Subject(
    name="sign",
    prompts=(
        "a sign with one word in capital letters",
        "a painted sign on a post beside the path",
        "a signboard with a short readable word",
        "a plain notice board with large lettering",
    ),
    settings=("outdoors", "studio"),
    kinds=(
        Kind(
            name="garbled_letters",
            category="objects",
            logical=False,
            part="letter",
            severity="moderate",
            texts=(
                "The lettering on the sign is illegible: its shapes are no letters, {where}.",
                "Instead of a word the sign shows nonsense glyphs {where}.",
                "The text on the board {where} is garbled into meaningless strokes that nobody can read.",
            ),
            excuses=(
                "a sign with the meaningless glyphs of an invented alien script",
                "a board covered with illegible scribbles instead of letters",
            ),
        ),
        Kind(
            name="mirrored_letters",
            category="objects",
            logical=False,
            part="letter",
            severity="moderate",
            texts=(
                "The letters on the sign are mirror-reversed, {where}.",
                "Every letter of the word {where} faces the wrong way, as if seen in a mirror.",
                "The sign's lettering is flipped left to right {where}.",
            ),
            excuses=(
                "a sign whose letters are each painted mirror-reversed on purpose",
                "a board with every letter flipped left to right, a puzzle for children",
            ),
        ),
    ),
    draw=_draw,
    combine=False,  # nonsense looks the same in a mirror
    readable=True,
)
