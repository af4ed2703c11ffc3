"""Requests over HTTP, by both clients: what a server may answer, and what it must not get away with."""

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from engines.aiohttp_client import AiohttpClient
from engines.http_client import MOST_BYTES, LostError, SlowError, TooLargeError, UnreachableError
from engines.openai_faults import Reply
from engines.openai_http import Server
from engines.plain_http import PlainClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-AFTER: 7\r\n\r\nhi"
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["plain", "aiohttp"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Script:
    """A server that sends prepared bytes for the n-th request, whatever it is; None closes the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers: Iterator[bytes | None] = iter(answers)
        self.connections = 0
        self.asked: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (h for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), b":0"
                )
                self.asked.append(head + await reader.readexactly(int(length.partition(b":")[2])))
                answer = next(self._answers)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if b"CLOSE" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def asking(script: Script, kind: str, seconds: float = 5):  # type: ignore[no-untyped-def]
    server = await asyncio.start_server(script.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Server(f"http://127.0.0.1:{port}/v1", "sk-1", seconds)
    assert isinstance(client.client, PlainClient)
    if kind == "aiohttp":
        client.client = AiohttpClient(client.client.headers, proxies=False)
    try:
        yield client
    finally:
        await client.close()
        server.close()


def ask(kind: str, *answers: bytes | None, n: int = 1, seconds: float = 5) -> tuple[list[Reply], Script]:
    script = Script(*answers)

    async def run() -> list[Reply]:
        async with asking(script, kind, seconds) as client:
            return [await client.post("/chat/completions", b'{"n": %d}' % i) for i in range(n)]

    return asyncio.run(run()), script


def test_what_is_sent(kind: str) -> None:
    (reply,), script = ask(kind, OK)
    assert (reply.status, reply.body) == (200, b"hi")
    assert reply.headers.get("retry-after") == "7"
    head, _, body = script.asked[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: bearer sk-1" in lines and b"content-type: application/json" in lines
    assert b"accept-encoding: identity" in lines and any(
        line.startswith(b"host: 127.0.0.1:") for line in lines
    )
    assert body == b'{"n": 0}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfor\r\n2\r\nty\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: CLOSE\r\n\r\nforty",
        b"HTTP/1.0 200 OK\r\nX: CLOSE\r\n\r\nforty",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nforty",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        % len(gzip.compress(b"forty"))
        + gzip.compress(b"forty"),
    ],
    ids=["chunked", "to the end", "HTTP/1.0", "100 first", "gzip"],
)
def test_ways_to_answer(kind: str, answer: bytes) -> None:
    (reply,), _ = ask(kind, answer)
    assert (reply.status, reply.body) == (200, b"forty")


def test_connections_are_used_again(kind: str) -> None:
    replies, script = ask(kind, OK, OK, OK, n=3)
    assert [r.body for r in replies] == [b"hi"] * 3
    assert script.connections == 1


def test_a_connection_that_is_to_close_is_not(kind: str) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    replies, script = ask(kind, closing, closing, n=2)
    assert [r.body for r in replies] == [b"hi"] * 2
    assert script.connections == 2


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(late: bool) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    script = Script(OK if late else OK + forged, OK)

    async def run() -> bytes:
        async with asking(script, "plain") as client:
            assert (await client.post("/x", b"{}")).body == b"hi"
            if late:
                assert isinstance(client.client, PlainClient)
                (connection,) = client.client._idle
                connection.data_received(forged)
            return bytes((await client.post("/x", b"{}")).body)

    assert asyncio.run(run()) == b"hi"
    assert script.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"garbage CLOSE\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nCLOSE",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nCLOSE",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nCLOSE",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nCLOSE",
    ],
    ids=["closed", "garbage", "cut off", "no chunk", "cut chunk", "brotli", "upgrade"],
)
def test_a_broken_answer_is_a_lost_connection(kind: str, answer: bytes | None) -> None:
    if kind == "aiohttp" and answer and b" 101 " in answer:
        pytest.skip("aiohttp gives it as an answer of the status 101")
    with pytest.raises(LostError) as raised:
        ask(kind, answer)
    assert "\n" not in str(raised.value)


def test_a_silent_server_is_slow(kind: str) -> None:
    with pytest.raises(SlowError, match="no answer within"):
        ask(kind, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", seconds=0.3)


def test_an_answer_without_end_is_too_large(kind: str) -> None:
    for answer in (
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST_BYTES + 100_000),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX: CLOSE\r\n\r\n"
        + gzip.compress(bytes(MOST_BYTES + 1)),
    ):
        with pytest.raises(TooLargeError):
            ask(kind, answer)


def test_endless_headers_are_cut_off(kind: str) -> None:
    with pytest.raises((LostError, TooLargeError)):
        ask(kind, b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MOST_BYTES + 100_000))


def test_a_port_that_nobody_listens_at(kind: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        client = Server(f"http://127.0.0.1:{held.getsockname()[1]}/v1", None, 5)
        if kind == "aiohttp":
            client.client = AiohttpClient({}, proxies=False)

        async def run() -> None:
            try:
                await client.post("/x", b"{}")
            finally:
                await client.close()

        with pytest.raises(UnreachableError, match="Connection refused"):
            asyncio.run(run())


def test_encryption_and_proxies_are_aiohttps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for url, kind in (
        ("https://example.com/v1", AiohttpClient),
        ("http://example.com/v1", AiohttpClient),
        ("http://127.0.0.1:8000/v1", PlainClient),
    ):
        assert isinstance(Server(url, None, 5).client, kind)
    monkeypatch.delenv("http_proxy")
    assert isinstance(Server("http://example.com/v1", None, 5).client, PlainClient)
