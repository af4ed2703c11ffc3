"""One picture and one scene from one seed."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from scenes import words
from scenes.finish import finish
from scenes.kinds import Kind, Setting, Subject
from scenes.settings import background
from scenes.shifts import UNSHIFTED, Shift
from scenes.subjects import SUBJECTS

# Which random stream serves what: a defect changes none of them, so that a pair differs in its defect alone.
_SETTING, _SUBJECT, _STYLE, _CHOICE, _WORDS = range(5)
_HOW_MANY = (0.6, 0.28, 0.12)  # shares of pictures with one, two and three subjects
_DEFECTS = (0.6, 0.28, 0.12)  # shares of "anomaly" pictures with one, two and three defects, where they fit

ARMS = ("clean", "anomaly", "AA", "AB", "BA", "BB", "mismatch")


@dataclass(frozen=True)
class Cell:
    """Where a subject stands: a square of side `scale` around (x, y), fractions of the picture."""

    subject: Subject
    x: float
    y: float
    scale: float


@dataclass(frozen=True)
class Anomaly:
    """A kind of defect in the cell of that number."""

    cell: int
    kind: Kind


@dataclass(frozen=True)
class Base:
    """A base scene: its subjects, the anomalies A and B, and all those of its "anomaly" picture (A first)."""

    seed: int
    index: int
    setting: Setting
    cells: tuple[Cell, ...]
    a: Anomaly
    b: Anomaly
    several: tuple[Anomaly, ...]


@dataclass(frozen=True)
class Picture:
    """RGB `image`; `instances` uint8 (h, w), of which number i shows `parts[i]` (one of canvas.PARTS; 0 the
    background); a bool (h, w) mask for each of `anomalies`; `polish` in [0, 1], 1 where neither blurred nor grainy."""

    image: Image.Image
    instances: np.ndarray
    parts: tuple[str, ...]
    anomalies: tuple[Anomaly, ...]
    masks: tuple[np.ndarray, ...]
    polish: float

    @property
    def mask(self) -> np.ndarray:
        """The union of the masks, bool (h, w)."""
        union = np.zeros(self.instances.shape, dtype=bool)
        for mask in self.masks:
            union |= mask
        return union


@dataclass(frozen=True)
class Scene:
    """A picture under a prompt. `defective` unless nothing is wrong or the prompt asks for just that.

    `arm` names the picture and the prompt: "clean" and "anomaly" under a plain prompt; "AA", "AB",
    "BA", "BB" for the picture with the anomaly A or B under the prompt that asks for A or B; "mismatch"
    for a clean picture under a prompt that asks for A (no defect, by the protocol).
    """

    base: Base
    picture: Picture
    prompt: str
    arm: str

    @property
    def justified(self) -> bool:
        """Whether something is anomalous and the prompt asks for it."""
        return self.arm in ("AA", "BB")

    @property
    def defective(self) -> bool:
        """Whether the picture has an anomaly that its prompt does not ask for."""
        return bool(self.picture.anomalies) and not self.justified


def _rng(seed: int, index: int, stream: int, cell: int = 0) -> np.random.Generator:
    return np.random.default_rng((seed, index, stream, cell))


def choose(seed: int, index: int) -> Base:
    """What stands in the base scene `index` of `seed`, and what can be wrong with it."""
    rng = _rng(seed, index, _CHOICE)
    first = list(SUBJECTS.values())[rng.integers(len(SUBJECTS))]
    setting = first.settings[rng.integers(len(first.settings))]
    beside = [s for s in SUBJECTS.values() if s is not first and setting in s.settings]
    more = rng.permutation(len(beside))[: rng.choice(3, p=_HOW_MANY)]
    subjects = [first, *(beside[i] for i in more)]
    cells = _layout([subjects[i] for i in rng.permutation(len(subjects))], rng)
    possible = [Anomaly(i, k) for i, c in enumerate(cells) for k in c.subject.kinds_beside(len(cells) > 1)]
    order = [possible[i] for i in rng.permutation(len(possible))]
    wanted, several = 1 + rng.choice(3, p=_DEFECTS), [order[0]]
    for anomaly in order[1:]:
        taken = any(s.cell == anomaly.cell for s in several)
        if len(several) < wanted and not (taken and not cells[anomaly.cell].subject.combine):
            several.append(anomaly)
    return Base(seed, index, setting, cells, order[0], order[1], tuple(several))


def _layout(subjects: list[Subject], rng: np.random.Generator) -> tuple[Cell, ...]:
    n, (dx, dy, size) = len(subjects), rng.uniform(-1, 1, 3)
    if n == 1:
        scale = 0.85 + 0.2 * size
        free = max(0.0, 1 - scale) / 2
        return (Cell(subjects[0], 0.5 + free * dx, 0.5 + free * dy, scale),)
    scale = (0.57 + 0.05 * size) if n == 2 else (0.42 + 0.03 * size)
    heights = 0.55 + rng.uniform(-1, 1, n) * (0.95 - scale) / 3
    return tuple(
        Cell(s, (i + 0.5) / n + 0.02 * dx, float(y), scale)
        for i, (s, y) in enumerate(zip(subjects, heights, strict=True))
    )


def draw_picture(base: Base, anomalies: Collection[Anomaly], size: int, shift: Shift = UNSHIFTED) -> Picture:
    """Draw the base scene with these anomalies (none: clean), `size` pixels a side, moved and degraded by `shift`."""
    setting = base.setting
    for a in anomalies:
        setting = (base.cells[a.cell].subject.wrong_settings or {}).get(a.kind.name, setting)
    canvas = background(setting, size, _rng(base.seed, base.index, _SETTING))
    for i, cell in enumerate(base.cells):
        # The whole picture is mirrored at the end; what must stay readable is mirrored twice.
        twice = shift.mirror and cell.subject.readable
        canvas.frame(i, cell.x + shift.dx, cell.y + shift.dy, cell.scale * shift.scale, twice)
        kinds = {a.kind.name for a in anomalies if a.cell == i}
        cell.subject.draw(canvas, _rng(base.seed, base.index, _SUBJECT, i), kinds)
    image, instances, parts, masks = canvas.finish()
    blank = np.zeros((size, size), dtype=bool)
    shown = [masks.get((a.cell, a.kind.name), blank) for a in anomalies]
    if shift.mirror:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        instances, *shown = (np.ascontiguousarray(m[:, ::-1]) for m in (instances, *shown))
    image, polish = finish(image, _rng(base.seed, base.index, _STYLE), shift)
    return Picture(image, instances, tuple(parts), tuple(anomalies), tuple(shown), polish)


def in_sight(base: Base, shift: Shift) -> Shift:
    """The shift, or as much less of it as leaves every anomaly of the base scene in sight."""
    for _ in range(4):
        pictures = (draw_picture(base, anomalies, 64, shift) for anomalies in (base.several, (base.b,)))
        if all(mask.any() for picture in pictures for mask in picture.masks):
            return shift
        shift = shift.halved()
    return replace(shift, scale=1.0, dx=0.0, dy=0.0)


def draw_scene(seed: int, index: int, arm: str, size: int, shift: Shift = UNSHIFTED) -> Scene:
    """Draw base scene `index` of `seed` in one of ARMS (see Scene)."""
    base = choose(seed, index)
    plain, excuse_a, excuse_b = prompts_of(base)
    anomalies = {"clean": (), "mismatch": (), "anomaly": base.several}.get(
        arm, (base.a if arm[0] == "A" else base.b,)
    )
    prompt = {"clean": plain, "anomaly": plain, "mismatch": excuse_a, "AA": excuse_a, "BA": excuse_a}
    return Scene(base, draw_picture(base, anomalies, size, shift), prompt.get(arm, excuse_b), arm)


def prompts_of(base: Base) -> tuple[str, str, str]:
    """The plain prompt of a base scene, the one that asks for A, the one that asks for B."""
    rng = _rng(base.seed, base.index, _WORDS)
    subjects = [c.subject for c in base.cells]
    wording = words.wording(subjects, rng)
    excuses = [wording.excusing(x.cell, words.excuse(x.kind, rng)) for x in (base.a, base.b)]
    return wording.plain(), excuses[0], excuses[1]
