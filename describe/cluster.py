"""Describing with many processes, on this machine or on many, through Ray Data.

What is handed out is ranges of the run's samples; what comes back is a word on each. The rows themselves go from
the workers to shards in the run directory, which all machines share, and are counted there.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from describe.parts import Left, left
from describe.protocol import STAGE
from describe.ray_cluster import LOCAL, Mapped, There, check_address, cluster
from describe.stage import Describing
from describe.worker import Job, Report, Worker
from flawscribe import claims
from flawscribe.digests import Digests
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.hosts import shown_url
from flawscribe.runs import Run, now
from flawscribe.shards import Tail
from flawscribe.stages import Counts, bar_seconds
from flawscribe.stopping import stopping

_LOOK = 0.3  # seconds between counts of the rows
_LATE = 10.0  # seconds that a shared file system may take to show the last of them
_GONE = 60.0  # seconds that every machine may be missing; while one is left, it does what the others cannot
_GLANCE = 5.0  # seconds between looks at the machines


@dataclass(frozen=True)
class Cluster:
    """Where to describe: the cluster's address or `LOCAL`, how many workers (None: as many as fit), and the engine.

    `base_url` may name several servers with commas; with `allow_urls` workers fetch pictures.
    """

    address: str
    workers: int | None
    engine: str
    base_url: str | None
    allow_urls: bool = False

    def urls(self) -> tuple[str, ...]:
        """The servers that are asked, none for a model in the workers' own processes."""
        if self.base_url is None and self.engine == "openai":
            from engines.openai_engine import OPENAI

            return (os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI,)
        return tuple(url.strip() for url in (self.base_url or "").split(",") if url.strip())


def describe_on_cluster(
    run: Run,
    how: Describing,
    asked: Mapping[str, Any],
    reach: Mapping[str, Any],
    where: Cluster,
    *,
    leave: Callable[[str], str | None],
    redo: bool = False,
    tell: Callable[[str], None] | None = None,
    quiet: bool = False,
) -> Counts:
    """As `describe.stage.describe_run`, by the workers of a Ray cluster.

    `asked` are the arguments of `describe.stage.describing` and `reach` those of `engines.registry.build`, but for
    the engine's name and address. `leave` has it allowed to send to a server, and gives what is to be told of that.
    Default workers: one a GPU of the cluster for a model in process, else one a server. SetupError where the cluster
    cannot be used, or a worker cannot ask its model at all.
    """
    check_address(where.address)
    urls = where.urls()
    served = bool(urls) or where.engine == "replay"
    with run.lock():
        Digests.gather(run.path)
        if not redo:
            run.begin(STAGE, how.settings)
        job = Job(
            run=str(run.path.resolve()),
            token="",
            since=run.last_shard(STAGE),
            settings=json.loads(json.dumps(how.settings)),
            asked=_anywhere(asked, how),
            reach={**_anywhere(reach, how), "name": where.engine},
            base_urls=urls,
            allow_urls=where.allow_urls,
        )
        todo = left(run, how, redo)
        make_way = partial(run.begin, STAGE, how.settings, redo=True, since=job.since) if redo else None
        with tqdm(
            total=todo.total,
            initial=todo.kept,
            desc=STAGE,
            unit="image",
            delay=1,
            mininterval=bar_seconds(),
            disable=quiet,
        ) as bar:
            rows = _Rows(run, job.since, todo, bar, make_way)
            try:
                with stopping(rows.in_flight) as stop:
                    if todo.samples:
                        sent = [told for url in dict.fromkeys(map(shown_url, urls)) if (told := leave(url))]
                        with cluster(where.address, max(where.workers or 1, len(urls)), not served) as there:
                            count = _count(there, where.workers, urls)
                            if tell:
                                tell("; ".join([_announcement(count, where), *sent]))
                            _work(run, job, todo, there, count, rows, stop)
            finally:
                _settle(run)
            rows.end()
        counts = rows.counts
        if counts.ok or counts.failed or not (run.path / f"{STAGE}.parquet").exists():
            run.compact(STAGE)
        run.note(STAGE, finished=now(), ok=counts.ok + counts.kept, failed=counts.failed)
    return counts


class _Rows:
    """The rows of this pass, counted as they come to the shards; the first has those before it `make_way`."""

    def __init__(
        self, run: Run, since: int, todo: Left, bar: "tqdm[Any]", make_way: Callable[[], None] | None
    ) -> None:
        self._tail = Tail(run.path / STAGE, since)
        self._due = todo.samples
        self._bar = bar
        self._make_way = make_way
        self.counts = Counts(kept=todo.kept)

    @property
    def missing(self) -> int:
        """Samples without a row so far."""
        return self._due - self.counts.ok - self.counts.failed

    def in_flight(self) -> str:
        """What Ctrl-C waits for: nothing before there is a first answer."""
        return "requests" if self.missing < self._due else ""

    def look(self) -> None:
        """Count what has come since."""
        for head in self._tail.heads():
            self.end()
            if self.missing == self._due:
                self._bar.unpause()  # engines were loaded until now
            self.counts.ok += head.ok
            self.counts.failed += not head.ok
            self._bar.update()

    def end(self) -> None:
        """Have earlier rows make way, though no new one came."""
        if self._make_way:
            self._make_way()
            self._make_way = None


def _work(
    run: Run, job: Job, todo: Left, there: There, count: int, rows: _Rows, stop: Callable[[], bool]
) -> None:
    """Have what is left done by `count` workers.

    Raises what ended a worker, and KeyboardInterrupt after Ctrl-C, once nothing is in flight.
    """
    job = replace(job, token=claims.begin(run.path))
    mapped = Mapped([asdict(part) for part in todo.parts(count)], Worker, (job,), count, there)
    reports: list[Report] = []
    stopped, glance, seen = False, 0.0, time.monotonic()
    try:
        ended = False
        while not ended:
            ended = mapped.wait(_LOOK)
            rows.look()
            new = [Report(**json.loads(row["report"])) for row in mapped.take()]
            if new and not reports:
                _note(run, new, count)
            reports += new
            if not stopped and (stop() or any(report.error for report in new)):
                claims.withdraw(run.path)
                stopped = True
            if (tick := time.monotonic()) - glance > _GLANCE:
                glance, seen = tick, tick if there.room() else seen
            if tick - seen > _GONE:
                raise SetupError(
                    "no machine of the cluster is left; the same command goes on where it stopped"
                )
    finally:
        claims.withdraw(run.path)
    _note(run, reports, count)
    for report in reports:
        if report.error:
            raise _error(report)
    if stop():
        raise KeyboardInterrupt
    if mapped.error:
        why = one_line(mapped.error, 200)
        raise SetupError(f"the cluster failed ({why}); the same command goes on where it stopped")
    until = time.monotonic() + _LATE
    while rows.missing and time.monotonic() < until:
        time.sleep(_LOOK)
        rows.look()
    if rows.missing:
        raise SetupError(f"{rows.missing} rows are missing: the same command goes on where it stopped")


def _count(there: There, workers: int | None, urls: tuple[str, ...]) -> int:
    """How many workers: those asked for, or else one a GPU or a server."""
    room = there.room()
    count = workers or (room if there.gpus else len(urls)) or 1
    if room < count:
        kind = "GPU" if there.gpus else "CPU"
        raise SetupError(
            f"{count} workers need a {kind} each, and the cluster has {room}: give fewer --workers"
        )
    return count


def _anywhere(arguments: Mapping[str, Any], how: Describing) -> dict[str, Any]:
    """The arguments with their paths absolute: workers start in other folders."""
    found = dict(arguments)
    for name in ("replay", "prompts", "calibration"):
        if found.get(name) is not None:
            found[name] = str(Path(found[name]).resolve())
    if "model" in found and how.ref.kind == "directory":
        found["model"] = how.ref.path
    return found


def _announcement(count: int, where: Cluster) -> str:
    place = "this machine" if where.address == LOCAL else where.address
    return f"{where.engine}: {count} worker{'s' if count > 1 else ''} on {place}"


def _note(run: Run, reports: list[Report], workers: int) -> None:
    """Record who answered; several servers are all named."""
    engines = [(report.reason, report.facts) for report in reports if report.facts]
    if engines:
        reason, facts = engines[-1]
        urls = sorted({facts["base_url"] for _, facts in engines if "base_url" in facts})
        several = {"base_url": urls} if len(urls) > 1 else {}
        run.note(STAGE, reason=reason, engine={**facts, **several, "workers": workers})


def _error(report: Report) -> Exception:
    match report.code:
        case UserError.exit_code:
            return UserError(report.error)
        case SetupError.exit_code:
            return SetupError(report.error)
    return RuntimeError(report.error)


def _settle(run: Run) -> None:
    """Take in what workers leave beside their rows; those of a local cluster are gone in a moment."""
    with contextlib.suppress(UserError):
        claims.wait_for_workers(run.path, _LATE)
    Digests.gather(run.path)
