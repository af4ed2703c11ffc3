"""One pass over a stage of a run: what has no good row yet is processed, and each row is on disk at once."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from flawscribe.garbage import seldom_collecting
from flawscribe.records import Failure, Row, Sample
from flawscribe.runs import Run, now
from flawscribe.shards import begin_of
from flawscribe.stopping import stopping

_COUNT = "{desc}: {n_fmt} done [{elapsed}, {rate_fmt}]"
"""The progress of a pass whose length is not known."""

Ready = Callable[[Iterable[Sample]], Iterator[tuple[Sample, Failure | None]]]


@dataclass
class Counts:
    """What one pass over a stage did: rows answered now, failed now, and already there before."""

    ok: int = 0
    failed: int = 0
    kept: int = 0


def run_stage(
    run: Run,
    stage: str,
    settings: dict[str, Any],
    key: Callable[[Sample], str | Failure],
    process: Callable[[Iterator[tuple[Sample, str]]], Iterator[Row]],
    *,
    samples: Callable[[], Iterable[Sample]] | None = None,
    ready: Ready | None = None,
    redo: bool = False,
    quiet: bool = False,
) -> Counts:
    """Bring a stage up to date: stream the samples without a good row through `process`.

    `key` gives a sample's key, or the failure that keeps it from being processed at all. `process`
    takes `(sample, key)` pairs lazily (so it bounds what is in flight) and yields one row for each,
    in any order. `samples` defaults to all of the run's; `ready` may replace or fail each before its key is
    asked for. Every row is on disk before the next is asked for.
    `quiet` draws no progress bar. With `redo` the stage's rows make way for the first new one: a model that
    cannot be asked costs nothing.
    """
    with run.lock():
        held: list[Row] | None = [] if redo else None  # rows that wait for the old ones to make way
        if not redo:
            run.begin(stage, settings)
        good = {} if redo else run.good(stage)
        counts = Counts()
        total = run.expected() if samples is None else sum(1 for _ in samples())
        pulled, answered = 0, False

        def source() -> Iterator[Sample]:
            """First what has no good row at all: a long run goes on at once. Then the rest, which may have changed."""
            if samples is not None:
                yield from samples()
                return
            yield from run.samples(good.__contains__ if good else None)
            if good:
                yield from run.samples(lambda id: id not in good)

        def in_flight() -> int:
            """Rows under way; none before the first answer, when a model may still be loading."""
            return pulled - counts.ok - counts.failed if answered else 0

        with (
            run.writer(stage) as write,
            seldom_collecting() as set_aside,
            tqdm(
                total=total,
                desc=stage,
                unit="image",
                delay=1,
                mininterval=bar_seconds(),
                disable=quiet,
                bar_format=None if total else _COUNT,
            ) as bar,
            stopping(in_flight) as stop,
        ):

            def put(row: Row) -> None:
                write(row)
                counts.ok += row.ok
                counts.failed += not row.ok
                bar.update()

            def make_way() -> None:
                nonlocal held
                if held is not None:
                    run.begin(stage, settings, redo=True)
                    waited, held = held, None
                    for row in waited:
                        put(row)

            def todo() -> Iterator[tuple[Sample, str]]:
                nonlocal pulled
                for sample, failure in ready(source()) if ready else ((s, None) for s in source()):
                    if pulled == 1:
                        bar.unpause()  # the first was pulled before the model was loaded
                    if stop():
                        return
                    k = failure or key(sample)
                    if isinstance(k, Failure):
                        pulled += 1
                        row = Row(id=sample.id, key="", failure=k)
                        put(row) if held is None else held.append(row)
                    elif good.get(sample.id.encode()) == begin_of(k):
                        counts.kept += 1
                        bar.update()
                    else:
                        pulled += 1
                        yield sample, k

            for row in process(todo()):
                make_way()
                put(row)
                if not answered:
                    answered = True
                    set_aside()
            make_way()
            if stop():
                raise KeyboardInterrupt
        if counts.ok or counts.failed or not (run.path / f"{stage}.parquet").exists():
            run.compact(stage)
        run.note(stage, finished=now(), ok=counts.ok + counts.kept, failed=counts.failed)
    return counts


def bar_seconds() -> float:
    """Seconds between two drawings of a progress bar: in a log each of them stays."""
    return 0.2 if sys.stderr.isatty() else 10


def noted(rows: Iterator[Row], note: Callable[[], None]) -> Iterator[Row]:
    """The rows, with `note` called once the first is on disk, and again after the last."""
    for row in rows:
        yield row
        note()
        break
    yield from rows
    note()
