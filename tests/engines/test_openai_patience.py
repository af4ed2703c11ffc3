"""Servers that are busy, slow, broken or gone for a while: how long and how often they are asked."""

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice
from typing import Any

import pytest
from asking import ask
from fake_server import completion, error, serving
from multidict import CIMultiDict

from engines import Answer, Fault, Request, build, served_model
from engines.openai_faults import pause
from flawscribe.errors import SetupError
from flawscribe.records import FailureKind

pytestmark = pytest.mark.usefixtures("key")


def test_the_server_is_asked_again_when_it_is_busy_or_broken() -> None:
    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        if n == 0:
            return 429, error("slow down"), {"retry-after-ms": "10"}
        return (503, error("overloaded")) if n == 2 else (200, completion())

    with serving(respond) as server:
        assert all(isinstance(a, Answer) for a in ask(server.url, 3))
        assert len(server.bodies) == 5


def test_a_slow_server_is_a_timeout() -> None:
    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        if n:
            time.sleep(1)
        return 200, completion()

    with serving(respond) as server:
        first, second = ask(server.url, 2, timeout=0.3, retries=0)
    assert isinstance(first, Answer)
    assert isinstance(second, Fault) and second.kind == FailureKind.TIMEOUT


def test_a_dripping_answer_is_a_timeout() -> None:
    def drip() -> Iterator[bytes]:
        yield b"{"
        for _ in range(100):
            time.sleep(0.1)  # no read waits for long
            yield b" "

    with serving(lambda body, n: (200, drip() if n else completion())) as server:
        started = time.monotonic()
        first, second = ask(server.url, 2, timeout=0.5, retries=0)
    assert isinstance(first, Answer)
    assert isinstance(second, Fault) and second.kind == FailureKind.TIMEOUT
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("compressed", [False, True])
def test_an_endless_answer_is_a_fault(compressed: bool) -> None:
    def flood() -> Iterator[bytes]:
        yield from [b" " * 1_000_000] * 100

    headers = {"Content-Encoding": "gzip"} if compressed else {}
    with serving(lambda body, n: (200, flood(), headers) if n else (200, completion())) as server:
        _, flooded = ask(server.url, 2, window=1, retries=0)
    assert isinstance(flooded, Fault) and flooded.kind == FailureKind.SERVER_ERROR
    assert "larger than" in flooded.message


def test_an_unreachable_server_is_one_line_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(SetupError, match="cannot reach http://127"):
            ask(url)


def test_a_server_that_dies_ends_the_stage() -> None:
    with serving(lambda body, n: (200, completion())) as server:
        engine, _ = build("openai", served_model("m"), base_url=server.url, retries=0, window=1, wait=0.5)
        stream = engine.stream(Request(id=str(i), user="Look") for i in range(1000))
        next(stream)
    with pytest.raises(SetupError, match="stopped answering"):
        for _, fault in stream:
            assert isinstance(fault, Fault) and fault.kind == FailureKind.CONNECTION
    engine.close()


def test_a_server_that_comes_back_in_time_costs_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    answered = 0
    with serving(lambda body, n: (200, completion())) as server:
        engine, _ = build("openai", served_model("m"), base_url=server.url, retries=4, window=2, wait=30)
        stream = engine.stream(Request(id=str(i), user="Look") for i in range(30))
        answered += sum(isinstance(answer, Answer) for _, answer in islice(stream, 5))
        port = server.server_address[1]

    def back() -> None:
        time.sleep(1)
        with serving(lambda body, n: (200, completion()), port):
            done.wait()

    done = threading.Event()
    thread = threading.Thread(target=back)
    thread.start()
    answered += sum(isinstance(answer, Answer) for _, answer in stream)
    done.set()
    thread.join()
    engine.close()
    assert answered == 30
    assert "is gone; waiting up to 30 s" in capsys.readouterr().err


@pytest.mark.slow
def test_of_faults_that_pass_few_rows_notice() -> None:
    """A server of whose answers three in ten are 429, 500, a reset, late, cut off or garbage."""
    chance = random.Random(7)

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        if n == 0 or chance.random() > 0.3:
            return 200, completion()
        whole = json.dumps(completion()).encode()
        short = {"Content-Length": str(len(whole) + 10)}  # the connection closes before the promised end
        match n % 6:
            case 0:
                return 429, error("slow down"), {"retry-after": "0.01"}
            case 1:
                return 500, error("boom"), {"retry-after-ms": "10"}
            case 2:
                return 200, iter([whole]), short | {"Connection": "close"}
            case 3:
                time.sleep(1.5)
                return 200, completion()
            case 4:
                return 200, whole[: len(whole) // 2]
        return 200, b"<html>busy</html>"

    with serving(respond) as server:
        found = ask(server.url, 500, timeout=1, retries=4, window=32)
        asked = len(server.bodies)
    ok = sum(isinstance(answer, Answer) for answer in found)
    assert len(found) == 500 and ok >= 495
    assert all(isinstance(a, Answer | Fault) for a in found)
    assert asked <= 2.2 * 500


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ({"Retry-After": "2"}, 2, 2.3),
        ({"retry-after-ms": "1500"}, 1.5, 1.7),
        ({"Retry-After": "99999"}, 60, 60),
        ({"Retry-After": "soon"}, 0.25, 0.5),
        ({"Retry-After": "-5"}, 0.25, 0.5),
        ({"retry-after-ms": "nan"}, 0.25, 0.5),
        ({"Retry-After": "1" + "0" * 400}, 0.25, 0.5),
        ({}, 0.25, 0.5),
    ],
)
def test_the_pause_is_what_the_server_asks_for_within_bounds(
    asked: dict[str, str], least: float, most: float
) -> None:
    assert least <= pause(1, CIMultiDict(asked)) <= most


def test_a_pause_may_be_asked_for_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    assert 20 <= pause(1, {"retry-after": soon}) <= 34


def test_the_window_bounds_what_is_in_flight_and_what_is_pulled() -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for i in range(40):
            pulled += 1
            yield Request(id=str(i), user="Look")

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        time.sleep(0.02)
        return 200, completion()

    with serving(respond) as server:
        engine, _ = build("openai", served_model("m"), base_url=server.url, window=4)
        for done, _ in enumerate(engine.stream(requests()), 1):
            assert pulled <= done + 4
        engine.close()
    assert pulled == done == 40
    assert 2 <= server.most_in_flight <= 4
