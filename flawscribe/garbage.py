"""Python's garbage collector, kept from going through what will not become garbage."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NEW = 20_000
"""New objects after which it looks for garbage among them, instead of Python's 700: the thousands that belong to
requests in flight live on, and would be looked at again and again."""


@contextmanager
def seldom_collecting() -> Iterator[Callable[[], None]]:
    """While the block lasts, the collector runs less often; from the yielded function's call on, on new objects alone.

    That call sets aside what is there then: the modules and models that are loaded. With those among them, going
    through everything takes a tenth of a second, and thousands of requests in flight have it done again and again.
    """
    before = gc.get_threshold()
    frozen = gc.get_freeze_count()  # by whoever called us
    gc.set_threshold(max(_NEW, before[0]), *before[1:])
    try:
        yield gc.freeze
    finally:
        gc.set_threshold(*before)
        if not frozen:
            gc.unfreeze()
