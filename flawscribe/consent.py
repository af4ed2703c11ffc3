"""Leave to send: what goes to another machine is said before it goes, and asked once for each run, stage and host."""

import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import click

from flawscribe.errors import UserError
from flawscribe.hosts import is_local
from flawscribe.runs import Run

Allow = Callable[[str], None]
"""Takes the line that says what would go where; returns if it may, and raises UserError if not."""

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask before images or texts go to a host that is not this machine."
)


def on_the_terminal(yes: bool) -> Allow:
    """Ask whoever sits there; with `yes` only say it. Where nobody sits there and `yes` was not given, refuse."""

    def allow(line: str) -> None:
        if not yes and not _someone_is_there():
            raise UserError(f"{line}: give --yes to allow it (nothing was sent)")
        click.echo(line, err=True)
        if not yes and not click.confirm("Send this?", err=True):
            raise UserError("nothing was sent")

    return allow


def _someone_is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def needs_leave(run: Run, stage: str, url: str, allow: Allow | None) -> bool:
    """Whether the stage may send to the server at `url` only after asking.

    Not so where `allow` is None (in Python the caller decides), for a server on this machine, and where this
    run's stage may send to that host already.
    """
    if allow is None or is_local(urlsplit(url).hostname or ""):
        return False
    return host_of(url) not in run.may_send_to(stage)


def ask_leave(run: Run, stage: str, url: str, line: Callable[[], str], allow: Allow | None) -> bool:
    """Have it allowed, where that is needed, to send to the server at `url` what `line()` says; whether it was needed.

    Raises UserError where it is not allowed.
    """
    if allow is None or not needs_leave(run, stage, url, allow):
        return False
    allow(line())
    run.allow_sending(stage, host_of(url))
    return True


def host_of(url: str) -> str:
    """The scheme, host and port of an address: what leave is given for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
