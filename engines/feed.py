"""Feeding an engine that answers in its own time: a bounded number of requests under way, answers as they come."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from engines.base import Answer, Fault, Request

_Outcome = Answer | Fault


def feed(
    requests: Iterator[Request | None], ask: Callable[[Request], "Future[_Outcome]"], window: int
) -> Iterator[tuple[Request, _Outcome]]:
    """Answers in the order in which they come, with at most `window` requests asked and not yet yielded.

    None among the requests stands for one that depends on an answer still due. What is under way when the
    consumer stops is cancelled; what a future raises is raised here.
    """
    done: SimpleQueue[tuple[Request, Future[_Outcome]]] = SimpleQueue()
    under_way: set[Future[_Outcome]] = set()
    more = True
    try:
        while True:
            while more and len(under_way) < window:
                try:
                    request = next(requests)
                except StopIteration:
                    more = False
                    break
                if request is None:
                    break
                future = ask(request)
                under_way.add(future)
                future.add_done_callback(partial(_put, done, request))
            if not under_way:
                return
            answered, future = done.get()
            under_way.discard(future)
            yield answered, future.result()
    finally:
        for future in under_way:
            future.cancel()


def _put(
    done: "SimpleQueue[tuple[Request, Future[_Outcome]]]", request: Request, future: "Future[_Outcome]"
) -> None:
    done.put((request, future))
