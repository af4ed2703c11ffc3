"""Bounds on what a server sends: the SDK's time-out is between two reads, and an answer may be of any size."""

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import openai

MOST_BYTES, MOST_COMPRESSED = 16_000_000, 256_000  # of one answer; that of a gzip bomb grows a thousandfold
SHORTEST_SECRET = 6  # characters

# The SDK's HTTP library: httpx up to some version, httpx2 since.
_HTTP: Any = import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


class TooLargeError(Exception):
    """A server's answer is larger than any that could be meant."""


class _Bounded(_HTTP.SyncByteStream):
    """A response's body, read whole within `most` bytes and until a time of `time.monotonic()`, without `key`."""

    def __init__(self, stream: Any, most: int, until: float, key: bytes) -> None:
        self._stream, self._most, self._until, self._key = stream, most, until, key

    def __iter__(self) -> Iterator[bytes]:
        body = bytearray()
        for chunk in self._stream:
            body += chunk
            if len(body) > self._most:
                raise TooLargeError(f"the answer is larger than {self._most:,} bytes")
            if time.monotonic() > self._until:
                raise _HTTP.ReadTimeout("the answer drips")
        yield bytes(body.replace(self._key, b"***") if len(self._key) >= SHORTEST_SECRET else body)

    def close(self) -> None:
        self._stream.close()


def bounded(seconds: float, key: str) -> Callable[[Any], None]:
    """A hook for responses: each body must be there in so many seconds, and be of at most MOST_BYTES.

    Should it repeat the key, that is blotted out; words such as "EMPTY", which servers without keys are given, are not.
    """

    def bound(response: Any) -> None:
        plain = response.headers.get("content-encoding", "identity") == "identity"
        most = MOST_BYTES if plain else MOST_COMPRESSED
        response.stream = _Bounded(response.stream, most, time.monotonic() + seconds, key.encode())

    return bound
