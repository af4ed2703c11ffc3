"""The console script: Ctrl-C while Python still imports ends it quietly, before anybody could say more."""

import signal


def main() -> None:
    """Import the command line, then run it."""
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flawscribe import cli

    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()
