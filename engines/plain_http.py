"""HTTP/1.1 without encryption and proxies: httptools' parser on the event loop's transports, and nothing else.

Every microsecond that a client takes from a server on the same machine is one the model lacks, and with a few hundred
requests a second aiohttp's are the greater part of them.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import cast

import httptools
from multidict import CIMultiDict
from yarl import URL

from engines.http_client import (
    CONNECT_TIMEOUT,
    MOST_BYTES,
    LostError,
    SlowError,
    TooLargeError,
    UnreachableError,
    expanded,
)
from engines.openai_faults import Reply
from flawscribe.errors import one_line

_MOST_AROUND = 65_536  # bytes of an answer beside its body


class PlainClient:
    """As `engines.http_client.Client`, for the host and port of `url` alone; every request has `headers`."""

    def __init__(self, url: URL, headers: Mapping[str, str]) -> None:
        self._host, self._port = url.raw_host or "", url.port or 80
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.headers = headers
        lines = [f"Host: {shown}:{self._port}", *(f"{name}: {value}" for name, value in headers.items())]
        self._headers = "\r\n".join(lines).encode("latin-1")
        self._idle: list[_Connection] = []

    async def send(self, method: str, url: URL, body: bytes | None, seconds: float) -> Reply:
        """The reply within `seconds`."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while self._idle and not self._idle[-1].open:
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._connect(loop, seconds)
        length = b"" if body is None else b"\r\nContent-Length: %d" % len(body)
        head = b"%s %s HTTP/1.1\r\n%s%s\r\n\r\n" % (
            method.encode(),
            url.raw_path_qs.encode(),
            self._headers,
            length,
        )
        answer = connection.ask([head] if body is None else [head, body])
        timer = loop.call_at(ends, connection.fail, SlowError(seconds))
        try:
            status, headers, content = await answer
        except BaseException:
            connection.abort()
            raise
        finally:
            timer.cancel()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return Reply(status, headers, expanded(content, headers.get("Content-Encoding", "")))

    async def _connect(self, loop: asyncio.AbstractEventLoop, seconds: float) -> "_Connection":
        try:
            async with asyncio.timeout(min(seconds, CONNECT_TIMEOUT)):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._idle), self._host, self._port
                )
        except TimeoutError as e:
            raise UnreachableError("it does not answer") from e
        except OSError as e:
            number = e.errno if e.errno is not None and e.errno > 0 else None
            raise UnreachableError(os.strerror(number) if number else one_line(e, 120)) from e
        return connection

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().abort()


class _Connection(asyncio.Protocol):
    """One connection: one request at a time, and its answer. The parser calls the methods `on_…`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list["_Connection"]) -> None:
        self._loop, self._idle = loop, idle
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, CIMultiDict[str], bytes]] | None = None
        self.reusable = False

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, parts: list[bytes]) -> "asyncio.Future[tuple[int, CIMultiDict[str], bytes]]":
        """Send a request. Its status, headers and body are the future's result."""
        self._answer = self._loop.create_future()
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._received = 0
        self._ends_with_connection = self._more = self.reusable = False
        assert self._transport is not None
        self._transport.writelines(parts)
        return self._answer

    def fail(self, error: Exception) -> None:
        """End the request under way, if it has no answer yet."""
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def abort(self) -> None:
        """Close the connection, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer. What comes when nothing was asked for would be taken for the next one."""
        if self._answer is None or self._answer.done():
            self.reusable = False
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as e:
            self.fail(LostError(one_line(f"connection lost: {e or type(e).__name__}")))
        if self._received > MOST_BYTES + _MOST_AROUND:
            self.fail(TooLargeError())

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way; an answer without a stated length ends where its connection does."""
        if self in self._idle:
            self._idle.remove(self)
        if self._ends_with_connection and exc is None:
            self._finish()
        self.fail(LostError(one_line(f"connection lost: {exc or 'the server closed it'}")))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """See what ends the body."""
        names = {name.lower() for name, _ in self._headers}
        self._ends_with_connection = not names & {"content-length", "transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over; one that only says that another is to come is forgotten."""
        if 100 <= self._parser.get_status_code() < 200:
            self._headers.clear()
            return
        self.reusable = self._parser.should_keep_alive() and not self._more
        self._finish()

    def on_message_begin(self) -> None:
        """A second answer to one request makes the connection useless."""
        if self._answer is None or self._answer.done():
            self._more, self.reusable = True, False

    def _finish(self) -> None:
        if self._answer is None or self._answer.done():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if len(body) > MOST_BYTES:
            self.fail(TooLargeError())
        else:
            self._answer.set_result((self._parser.get_status_code(), CIMultiDict(self._headers), body))
