"""RUN/workers: who of many processes, on any machine that shares the folder, works on which part of a run.

POSIX record locks on bytes of one file, which go when their process does, however it dies. The file's first bytes
name the pass that has the run; a worker of any other pass stops.

    0–31         the token of the pass, zeros where there is none
    64 + 8 i …   part i: attempts that brought no row (uint32), rows there when it was last begun (uint32)
    2^40 + i     (locks only) seat i: a small number of its own for each worker
"""

import fcntl
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flawscribe.errors import UserError

PATIENCE = 60.0
"""Seconds that a command waits for the workers of one that died."""
LOOK = 0.5  # seconds between a worker's looks at the token
_TOKEN, _PARTS, _SEATS = 32, 64, 2**40
_PART = struct.Struct("<II")


def _open(folder: Path, create: int = 0) -> int:
    return os.open(folder / "workers", os.O_RDWR | os.O_NOFOLLOW | create, 0o666)


def withdraw(folder: Path) -> None:
    """Have workers stop after what they have in flight."""
    fd = _open(folder)
    try:
        os.pwrite(fd, b"\0" * _TOKEN, 0)
    finally:
        os.close(fd)


def wait_for_workers(folder: Path, seconds: float = PATIENCE) -> None:
    """Return once no worker is left, told to stop or gone with its command; UserError where one stays."""
    if not (folder / "workers").exists():
        return
    withdraw(folder)
    with _alone(folder, seconds):
        pass


def begin(folder: Path) -> str:
    """The token of a new pass, which alone may work on the run from now on; every part is untouched."""
    token = secrets.token_hex(_TOKEN // 2)
    with _alone(folder, PATIENCE) as fd:
        os.ftruncate(fd, 0)
        os.pwrite(fd, token.encode(), 0)
    return token


@contextmanager
def _alone(folder: Path, seconds: float) -> Iterator[int]:
    fd, until = _open(folder, os.O_CREAT), time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                if time.monotonic() > until:
                    raise UserError(
                        f"workers of an earlier command are still at work on {folder}: wait for them or end them"
                    ) from None
                time.sleep(0.1)
        yield fd
    finally:
        os.close(fd)  # and with it the lock


class Claims:
    """A worker's side, one a process: closing any other descriptor of the file would give up its locks."""

    def __init__(self, folder: Path, token: str) -> None:
        self._fd = _open(folder)
        self._token = token.encode()
        self._looked, self._current = 0.0, True
        self.seat = self._sit()

    def _sit(self) -> int:
        seat = 0
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _SEATS + seat)
                return seat
            except (BlockingIOError, PermissionError):
                seat += 1

    def current(self) -> bool:
        """Whether this worker's pass still has the run, as of half a second ago at most."""
        now = time.monotonic()
        if self._current and now - self._looked >= LOOK:
            self._looked, self._current = now, os.pread(self._fd, _TOKEN, 0) == self._token
        return self._current

    @contextmanager
    def part(self, number: int, written: Callable[[], int]) -> Iterator[int]:
        """Hold a part, once no other holds it; yields how often in a row it was begun without a new row.

        `written` tells how many rows of the part an earlier attempt has left; it is called where there was one.
        """
        at = _PARTS + _PART.size * number
        fcntl.lockf(self._fd, fcntl.LOCK_EX, _PART.size, at)
        try:
            found = os.pread(self._fd, _PART.size, at).ljust(_PART.size, b"\0")
            attempts, before = _PART.unpack(found)
            rows = written() if attempts else 0
            attempts = attempts + 1 if rows == before else 1
            if self._is_ours():
                os.pwrite(self._fd, _PART.pack(attempts, rows), at)
            yield attempts - 1
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, _PART.size, at)

    def _is_ours(self) -> bool:
        """As `current`, of this moment."""
        self._looked = 0.0
        return self.current()
