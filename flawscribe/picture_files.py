"""Picture files as bytes: regular, bounded, and read once where two look at them one after the other."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from flawscribe.hosts import shown_url
from flawscribe.records import Failure, FailureKind

MAX_BYTES = 100_000_000
_SCHEMES = ("http", "https", "ftp", "s3", "gs", "data", "file")
_KEPT_BYTES, _KEPT = 32_000_000, 64


class ImageFailure(Exception):
    """A picture that cannot be used: `kind` and one line that names it."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def failure(self, stage: str) -> Failure:
        """The failure row's content for a stage."""
        return Failure(stage=stage, kind=self.kind, message=str(self))


def is_url(path: str) -> bool:
    """Whether an image is given as an address rather than a path."""
    return ":" in path and path.partition(":")[0].strip().lower() in _SCHEMES


def read_bytes(path: str) -> bytes:
    """The file's bytes; ImageFailure where it is missing, not a regular file, unreadable, empty or over 100 MB."""
    if (kept := _hand_over.take(path)) is not None:
        return kept
    try:
        fd = _open(path)
        try:
            data = os.read(fd, _size(fd, path) + 1)  # a buffer as large as the limit takes time to make
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ImageFailure(FailureKind.MISSING_IMAGE, f"{path}: no such file") from e
    except (OSError, ValueError) as e:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: {getattr(e, 'strerror', None) or e}") from e
    if not data:
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: the file is empty")
    return data


def read_ahead(path: str, info: os.stat_result) -> bytes:
    """As `read_bytes`; who reads the file next gets these very bytes, if `info` still holds."""
    data = read_bytes(path)
    _hand_over.give(path, info, data)
    return data


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file opened, a regular one of at most 100 MB; OSError or ImageFailure."""
    with os.fdopen(_open(path), "rb", buffering=0) as f:
        _size(f.fileno(), path)
        yield f


def _open(path: str) -> int:
    if is_url(path):
        told = f"{shown_url(path)}: addresses are not fetched (http and https are with --allow-urls)"
        raise ImageFailure(FailureKind.MISSING_IMAGE, told)
    # A pipe named like a picture must not hang the run.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _size(fd: int, path: str) -> int:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{path}: not a regular file")
    if info.st_size > MAX_BYTES:
        size = f"{info.st_size / 1e6:.0f} MB"
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{path}: {size}, over {MAX_BYTES // 10**6} MB")
    return info.st_size


class _HandOver:
    """The few files that were read last and not asked for again: a picture is digested, then sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[int, int], bytes]] = {}
        self._bytes = 0

    def give(self, path: str, info: os.stat_result, data: bytes) -> None:
        with self._lock:
            self._drop(path)
            self._kept[path] = (info.st_size, info.st_mtime_ns), data
            self._bytes += len(data)
            while self._kept and (len(self._kept) > _KEPT or self._bytes > _KEPT_BYTES):
                self._drop(next(iter(self._kept)))

    def take(self, path: str) -> bytes | None:
        """The bytes, once, where the file is still as it was."""
        if path not in self._kept:
            return None
        with self._lock:
            found = self._drop(path)
        try:
            info = os.stat(path)
        except OSError:
            return None
        return found[1] if found and found[0] == (info.st_size, info.st_mtime_ns) else None

    def _drop(self, path: str) -> tuple[tuple[int, int], bytes] | None:
        found = self._kept.pop(path, None)
        self._bytes -= len(found[1]) if found else 0
        return found


_hand_over = _HandOver()
