"""Arrays of one shape kept in a growing file and read through a memory map, each found by its key.

`NAME.bin` holds the arrays one after the other, `NAME.keys` their keys, a line each, in the same order. What a kill has
left half written is cut off when the store is opened again. One process writes a file; several read it.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flawscribe.errors import SetupError

_LINE = 33  # 32 hex digits and a line's end


def key(*parts: str) -> str:
    """The key of what `parts` decide."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class Store:
    """Arrays of `shape` and `dtype` in the files `path`.bin and `path`.keys."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._size = int(np.prod(shape)) * self._dtype.itemsize
        self._bin, self._keys = path.with_name(path.name + ".bin"), path.with_name(path.name + ".keys")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, int] = {}
        self._map: np.ndarray | None = None
        self.reopen()

    def reopen(self) -> None:
        """Take in what is on disk now, and cut off what is incomplete."""
        for file in (self._bin, self._keys):
            file.touch()
        lines = self._keys.read_bytes()
        whole = min(self._bin.stat().st_size // self._size, len(lines) // _LINE)
        for file, size in ((self._bin, whole * self._size), (self._keys, whole * _LINE)):
            if file.stat().st_size > size:
                os.truncate(file, size)
        names = (lines[i * _LINE : i * _LINE + 32].decode("ascii", "replace") for i in range(whole))
        self._rows = {name: i for i, name in enumerate(names)}
        self._map = None

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def put(self, keys: Sequence[str], arrays: np.ndarray) -> None:
        """Append (n, *shape) arrays under n keys."""
        values = np.ascontiguousarray(arrays, dtype=self._dtype)
        if values.shape != (len(keys), *self._shape):
            raise ValueError(f"{values.shape} is not {(len(keys), *self._shape)}")
        try:
            with self._bin.open("ab") as out:
                out.write(values.tobytes())
            with self._keys.open("ab") as out:
                out.write("".join(f"{k}\n" for k in keys).encode())
        except OSError as e:
            raise SetupError(f"cannot keep {self._bin}: {e.strerror or e}") from e
        for k in keys:
            self._rows[k] = len(self._rows)
        self._map = None

    def get(self, keys: Sequence[str]) -> np.ndarray:
        """The arrays (n, *shape) of n keys; KeyError for one that is not there."""
        rows = [self._rows[k] for k in keys]
        if self._map is None:
            # Of whole records alone: another process may be writing the next one.
            held = self._bin.stat().st_size // self._size
            self._map = np.memmap(self._bin, dtype=self._dtype, mode="r", shape=(held, *self._shape))
        return np.stack([self._map[r] for r in rows])
