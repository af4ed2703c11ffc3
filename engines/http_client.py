"""What every HTTP client does, the bounds that it keeps, and what comes instead of a reply."""

import zlib
from typing import Protocol

from yarl import URL

from engines.openai_faults import Reply

MOST_BYTES = 16_000_000  # of one answer
CONNECT_TIMEOUT = 10.0


class UnreachableError(Exception):
    """No connection could be made."""


class LostError(Exception):
    """The connection broke, or what came over it is no HTTP."""


class SlowError(Exception):
    """The answer was not there in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


class TooLargeError(Exception):
    """The answer is larger than any that could be meant."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {MOST_BYTES:,} bytes")


def expanded(body: bytes, encoding: str) -> bytes:
    """The body, decompressed should the server have compressed it unasked. LostError, or TooLargeError."""
    if encoding.lower() in ("identity", ""):
        return body
    try:
        expander = zlib.decompressobj(wbits=47)  # zlib or gzip
        body = expander.decompress(body, MOST_BYTES)
    except zlib.error as e:
        raise LostError("the answer is compressed in a way that was not asked for") from e
    if expander.unconsumed_tail:
        raise TooLargeError
    return body


class Client(Protocol):
    """Sends requests, unredirected, over as many connections as are asked for."""

    async def send(self, method: str, url: URL, body: bytes | None, seconds: float) -> Reply:
        """The reply within `seconds`, or one of the errors above."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
