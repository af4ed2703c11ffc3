"""Training pictures: each base scene clean and with two sets of anomalies, zoomed, moved and degraded alike."""

import itertools
from collections.abc import Sequence

import numpy as np

from nano.build import SIDE
from scenes import words
from scenes.canvas import PARTS
from scenes.draw import Anomaly, Base, Picture, choose, draw_picture
from scenes.shifts import UNSHIFTED, Shift
from scenes.subjects import KINDS

TRAIN_SEED, VALIDATION_SEED = 20_001, 20_002
GRID = 32  # side of the label maps: a quarter of the picture's, as SAM's masks are
KIND_NAMES = tuple(KINDS)


def random_shift(rng: np.random.Generator) -> Shift:
    """A slight change, far inside the shifts that the benchmark tests: those stay unseen."""
    return Shift(
        scale=float(rng.uniform(0.85, 1.15)),
        dx=float(rng.uniform(-0.05, 0.05)),
        dy=float(rng.uniform(-0.05, 0.05)),
        blur=float(rng.uniform(0.2, 0.7)) if rng.random() < 0.15 else 0.0,
        jpeg=int(rng.integers(60, 96)) if rng.random() < 0.2 else 0,
        tint=tuple(rng.uniform(0.92, 1.08, 3).tolist()) if rng.random() < 0.3 else (1.0, 1.0, 1.0),
    )


def pictures_of(base: Base) -> tuple[tuple[Anomaly, ...], ...]:
    """What is wrong in the three pictures of a base scene: nothing, A and what may be beside it, B."""
    return (), base.several, (base.b,)


def triple(seed: int, index: int, augment: bool) -> list[Picture]:
    """The three pictures of base scene `index`, all changed by one slight random shift if `augment`."""
    base = choose(seed, index)
    shift = random_shift(np.random.default_rng((seed, index, 77))) if augment else UNSHIFTED
    return [draw_picture(base, anomalies, SIDE, shift) for anomalies in pictures_of(base)]


def of_one_subject(seed: int, n: int) -> list[int]:
    """The first `n` base scenes of `seed` in which one subject stands alone: where a curriculum begins."""
    found = (i for i in itertools.count() if len(choose(seed, i).cells) == 1)
    return list(itertools.islice(found, n))


class Triples:
    """The base scenes `indices` of one seed as arrays of three pictures each.

    `index` int64 (), the base scene's; `image` uint8 (3, h, w, 3) RGB; `parts` uint8 (3, 32, 32), indices into
    PARTS; `masks` float32 (3, 3, 32, 32), for each picture its (at most three) defects' covered share of each
    cell; `kinds` float32 (3, kinds), 1 for each kind shown; `quality` float32 (3, 2): where the anomalies count as
    defects, and where not.
    """

    def __init__(self, seed: int, indices: Sequence[int], augment: bool) -> None:
        self.seed, self.indices, self.augment = seed, indices, augment

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, at: int) -> dict[str, np.ndarray]:
        index = self.indices[at]
        pictures = triple(self.seed, index, self.augment)
        return {
            "index": np.array(index),
            "image": np.stack([np.asarray(p.image) for p in pictures]),
            "parts": np.stack([_parts(p) for p in pictures]),
            "masks": np.stack([_masks(p) for p in pictures]),
            "kinds": np.stack([_kinds(p) for p in pictures]),
            "quality": np.array([_quality(p) for p in pictures], dtype=np.float32),
        }


def _parts(picture: Picture) -> np.ndarray:
    step = SIDE // GRID
    names = np.array([PARTS.index(p) for p in picture.parts], dtype=np.uint8)
    return names[picture.instances[step // 2 :: step, step // 2 :: step]]


def _masks(picture: Picture) -> np.ndarray:
    step = SIDE // GRID
    shares = np.zeros((3, GRID, GRID), dtype=np.float32)
    for i, mask in enumerate(picture.masks):
        shares[i] = mask.reshape(GRID, step, GRID, step).mean((1, 3), dtype=np.float32)
    return shares


def _kinds(picture: Picture) -> np.ndarray:
    shown = np.zeros(len(KIND_NAMES), dtype=np.float32)
    shown[[KIND_NAMES.index(a.kind.name) for a in picture.anomalies]] = 1
    return shown


def _quality(picture: Picture) -> tuple[float, float]:
    severities = [
        (a.kind, words.severity(a.kind, float(m.mean())))
        for a, m in zip(picture.anomalies, picture.masks, strict=True)
    ]
    return words.opinion(severities, picture.polish), words.opinion([], picture.polish)
