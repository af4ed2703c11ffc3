"""The command line in a process that kills itself: a real SIGKILL, at a chosen moment.

    python dying.py MOMENT K ARGUMENTS...

MOMENT is a stage (it dies with its K-th new row on disk; with that row half written where K is even), or the
name of a file (it dies just before the K-th time that this file is put in place: RUN/describe.parquet, report.html, …).
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flawscribe import cli
from flawscribe.records import Row
from flawscribe.runs import STAGES, Run


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_row(stage: str, k: int) -> None:
    """Arrange death at the k-th new row of `stage`."""
    writer, rows = Run.writer, 0

    @contextmanager
    def dying(run: Run, of: str) -> Iterator[Callable[[Row], None]]:
        with writer(run, of) as write:

            def put(row: Row) -> None:
                nonlocal rows
                write(row)
                rows += of == stage
                if of == stage and rows == k:
                    if k % 2 == 0:
                        shard = max((run.path / stage).glob("*.jsonl"))
                        os.truncate(shard, shard.stat().st_size - 20)
                    die()

            yield put

    Run.writer = dying  # type: ignore[method-assign]


def at_file(name: str, k: int) -> None:
    """Arrange death just before the k-th time that a file called `name` is renamed into place."""
    replace, times = os.replace, 0

    def dying(source: Any, target: Any, **options: Any) -> None:
        nonlocal times
        times += Path(target).name == name
        if times == k and Path(target).name == name:
            die()
        replace(source, target, **options)

    os.replace = dying


def main() -> None:
    moment, k, *arguments = sys.argv[1:]
    (at_row if moment in STAGES else at_file)(moment, int(k))
    sys.argv = ["flawscribe", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
