"""What identifies the content of image files, without reading each of them every time."""

import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import TextIO

from flawscribe.picture_files import read_ahead, read_bytes


class Digests:
    """SHA-256 of image files, remembered in `digests.jsonl` by path, size and time of change. Thread-safe.

    One of several processes gives its `seat`: it remembers in a file of its own, which `gather` takes in.
    """

    def __init__(self, folder: Path, seat: int | None = None) -> None:
        self._file = folder / ("digests.jsonl" if seat is None else f"digests-{seat:04d}.jsonl")
        self._lock = threading.Lock()
        self._out: TextIO | None = None
        self._known: dict[bytes, bytes] = {}  # by digest of the state: little memory for many pictures
        if seat is None and self._file.exists():
            with self._file.open("rb") as f:
                for line in f:
                    try:
                        path, size, mtime, digest = json.loads(line)
                        self._known[_state(path, size, mtime)] = bytes.fromhex(digest)
                    except (ValueError, TypeError, AttributeError):
                        continue  # a line cut off by a kill: that picture is read again

    @classmethod
    def gather(cls, folder: Path) -> None:
        """Take in what processes with a seat have left."""
        for left in sorted(folder.glob("digests-*.jsonl")):
            with left.open("rb") as source, (folder / "digests.jsonl").open("ab") as out:
                out.write(b"\n")  # the last line of either may be cut off
                shutil.copyfileobj(source, out)
            left.unlink()

    def digest(self, path: str) -> str:
        """The file's digest; ImageFailure where it cannot be read."""
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            read_bytes(path)  # raises the typed failure
            raise
        state = _state(path, info.st_size, info.st_mtime_ns)
        if (known := self._known.get(state)) is not None:
            return known.hex()
        digest = hashlib.sha256(read_ahead(path, info))
        line = f'[{json.dumps(path)}, {info.st_size}, {info.st_mtime_ns}, "{digest.hexdigest()}"]\n'
        with self._lock:
            self._known[state] = digest.digest()
            if self._out is None:
                self._out = self._file.open("a", encoding="utf-8")
            self._out.write(line)
        return digest.hexdigest()


def _state(path: str, size: int, mtime_ns: int) -> bytes:
    return hashlib.md5(f"{size} {mtime_ns} {path}".encode(errors="surrogatepass")).digest()
