"""Two folders, predicted and golden, as pairs of files of one name; what has no partner is told, never guessed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure, extensions
from flawscribe.maps import load_map
from flawscribe.records import FailureKind
from segment.importers.mask_files import read_mask


@dataclass(frozen=True)
class Pair:
    """A golden file and the predicted one of its name (`id`: the path below its folder, without the extension)."""

    id: str
    golden: Path
    predicted: Path | None


class PairFailure(Exception):
    """A pair that cannot be scored, and why."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(one_line(message, 1000))
        self.kind = kind


def pairs_of(predicted: Path, golden: Path) -> tuple[list[Pair], list[str]]:
    """A pair for each golden file, by name, and the ids of predictions that have no golden file.

    UserError where a folder is missing, holds no such file, or holds two of one name (`a.png` and `a.npy`).
    """
    mine, theirs = _named(predicted), _named(golden)
    pairs = [Pair(id, path, mine.get(id)) for id, path in theirs.items()]
    return pairs, [id for id in mine if id not in theirs]


def _named(folder: Path) -> dict[str, Path]:
    """The pictures and .npy files below a folder by their ids, sorted; what is hidden is left out."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    known, found = extensions() | {".npy"}, dict[str, Path]()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            stem, extension = os.path.splitext(name)
            if name.startswith(".") or extension.lower() not in known:
                continue
            path = Path(place, name)
            id = (path.parent.relative_to(folder) / stem).as_posix()
            if id in found:
                raise UserError(f"{found[id]} and {path} have the same name: keep one of them")
            found[id] = path
    if not found:
        raise UserError(f"{folder} holds no pictures (nor .npy files)")
    return dict(sorted(found.items()))


def read_golden_mask(path: Path) -> np.ndarray:
    """A golden mask as bool (h, w) of the file's own size; ImageFailure as of `read_mask`."""
    return read_mask(path, None)


def read_map(path: Path) -> np.ndarray:
    """A map as float32 (h, w) in [0, 1]; ImageFailure as `load_map` raises it."""
    return load_map(str(path))


def mask_pair(pair: Pair, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The predicted and the golden mask, bool (h, w) of one size; PairFailure where there is no such pair.

    A predicted mask of several levels is refused without a `threshold` (see `read_mask`): of probabilities non-zero
    would mark nearly everything.
    """

    def read(path: Path, golden: np.ndarray) -> np.ndarray:
        return read_mask(path, (golden.shape[1], golden.shape[0]), threshold)

    return _opened(pair, read, read_golden_mask)


def map_pair(
    pair: Pair, read_golden: Callable[[Path], np.ndarray] = read_map
) -> tuple[np.ndarray, np.ndarray]:
    """The predicted map and the golden array, of one size; PairFailure where there is no such pair."""
    return _opened(pair, lambda path, golden: read_map(path), read_golden)


def _opened(
    pair: Pair,
    read: Callable[[Path, np.ndarray], np.ndarray],
    read_golden: Callable[[Path], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    if pair.predicted is None:
        raise PairFailure(FailureKind.MISSING_ANSWER, f"no prediction for {pair.golden}")
    try:
        golden = read_golden(pair.golden)
        predicted = read(pair.predicted, golden)
    except ImageFailure as e:
        raise PairFailure(e.kind, str(e)) from e
    if golden.shape != predicted.shape:
        sizes = [f"{a.shape[1]} x {a.shape[0]}" for a in (predicted, golden)]
        told = f"{pair.predicted} has {sizes[0]} pixels, {pair.golden} {sizes[1]}: nothing is resized"
        raise PairFailure(FailureKind.BAD_MASK, told)
    return predicted, golden


def rows_of(
    pairs: list[Pair], score: Callable[[Pair], dict[str, float | None]]
) -> Iterator[tuple[Pair, dict[str, float | None] | PairFailure]]:
    """What `score` says of each pair, or the PairFailure that it raises; with a progress bar where it takes long."""
    from tqdm import tqdm

    for pair in tqdm(pairs, desc="metrics", unit="image", delay=2):
        try:
            yield pair, score(pair)
        except PairFailure as e:
            yield pair, e
