"""Open files: each request in flight is a socket, and a process may have 1,024 by custom."""

import resource

from flawscribe.errors import UserError

OTHERS = 128
"""Files that are open beside the sockets: libraries, the run directory, pictures."""


def make_room(sockets: int) -> None:
    """Raise this process's limit of open files for so many sockets; UserError where the system does not let it."""
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
