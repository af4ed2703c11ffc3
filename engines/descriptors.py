"""Open files: how many there may be, and whose the standard ones are."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flawscribe.errors import UserError

OTHERS = 128
"""Files that are open beside the sockets: libraries, the run directory, pictures."""


def make_room(sockets: int) -> None:
    """Raise this process's limit of open files for so many sockets; UserError where the system does not let it.

    Each request in flight is a socket, and a process may have 1,024 files by custom.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UserError(
            f"{sockets} requests in flight need {wanted} open files, and this system allows {hard} (ulimit -Hn): "
            f"give --window {max(1, hard - OTHERS)} or less"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def children_on_stderr() -> Iterator[None]:
    """Processes started in the block write to stderr what they write to stdout, which is for our own results."""
    try:
        sys.stdout.flush()
        ours = os.dup(1)
    except (OSError, ValueError, AttributeError):  # closed: there is nothing to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)
