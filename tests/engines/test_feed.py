"""Feeding an engine that answers in its own time."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from engines.base import Answer, Fault, Request
from engines.feed import feed


def numbered(n: int) -> list[Request]:
    return [Request(id=str(i), user="Look") for i in range(n)]


def test_no_more_than_the_window_is_pulled_ahead_and_all_are_answered() -> None:
    pulled = answered = most = 0

    def source() -> Iterator[Request]:
        nonlocal pulled, most
        for request in numbered(50):
            pulled += 1
            most = max(most, pulled - answered)
            yield request

    with ThreadPoolExecutor(3) as pool:
        ids = set()
        for request, _ in feed(source(), lambda r: pool.submit(Answer, r.id), 7):
            answered += 1
            ids.add(request.id)
    assert ids == {str(i) for i in range(50)} and most == 7


def test_one_that_waits_for_an_answer_is_pulled_when_it_came() -> None:
    first, second = numbered(2)
    seen: list[str] = []

    def source() -> Iterator[Request | None]:
        yield first
        while not seen:
            yield None
        yield second

    with ThreadPoolExecutor(1) as pool:
        for request, _ in feed(source(), lambda r: pool.submit(Answer, r.id), 4):
            seen.append(request.id)
    assert seen == ["0", "1"]


def test_what_is_under_way_is_cancelled_when_the_consumer_stops() -> None:
    futures: list[Future[Answer | Fault]] = []

    def ask(request: Request) -> "Future[Answer | Fault]":
        futures.append(Future())
        if len(futures) == 1:
            futures[0].set_result(Answer("yes"))
        return futures[-1]

    stream = feed(iter(numbered(9)), ask, 3)
    assert next(stream)[0].id == "0"
    stream.close()  # type: ignore[attr-defined]
    assert len(futures) == 3 and all(future.cancelled() for future in futures[1:])


def test_what_a_future_raises_ends_the_stream() -> None:
    def ask(request: Request) -> "Future[Answer | Fault]":
        future: Future[Answer | Fault] = Future()
        future.set_exception(RuntimeError("the engine died"))
        return future

    with pytest.raises(RuntimeError, match="died"):
        list(feed(iter(numbered(3)), ask, 2))
