"""Ctrl-C in a stage: what is in flight was paid for, so it is waited for."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm


@contextmanager
def stopping(in_flight: Callable[[], int | str]) -> Iterator[Callable[[], bool]]:
    """While the block lasts, a first SIGINT makes the yielded function true instead of raising KeyboardInterrupt.

    A second one raises it at once, and so does the first where nothing is in flight. Outside the main thread, or
    where SIGINT is ignored, nothing changes. `in_flight` counts, or names, what is waited for.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not in_flight():
            raise KeyboardInterrupt
        asked = True
        tqdm.write(f"finishing the {in_flight()} in flight; Ctrl-C again stops at once", file=sys.stderr)

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
