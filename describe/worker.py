"""One of many processes that describe a run's samples, part by part; `describe.cluster` drives them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from describe.parts import Part
from describe.protocol import STAGE
from describe.schedule import describe_samples
from describe.stage import Describing, describing
from engines.base import Engine
from engines.registry import build
from flawscribe.claims import Claims
from flawscribe.digests import Digests
from flawscribe.errors import INTERNAL, SetupError, UserError, one_line
from flawscribe.fetched import fetching
from flawscribe.records import Failure, Row, Sample
from flawscribe.runs import Run
from flawscribe.secrets import blotted
from flawscribe.shards import Tail

FRUITLESS = 5
"""Workers that may die on the same part one after the other without a new row between them."""


@dataclass(frozen=True)
class Job:
    """What every worker of a pass is given. Paths are absolute, and the same on all machines.

    `asked` is for `describe.stage.describing`, which must come to the same `settings` on each of them; `reach` is for
    `engines.registry.build`. Worker n asks the n-th of `base_urls`, from the first again after the last. Shards
    numbered above `since` are this pass's.
    """

    run: str
    token: str
    since: int
    settings: dict[str, Any]
    asked: dict[str, Any]
    reach: dict[str, Any]
    base_urls: tuple[str, ...]
    allow_urls: bool


@dataclass(frozen=True)
class Report:
    """What a worker tells of a part: the engine, if one was asked, and the error that ended it."""

    reason: str = ""
    facts: dict[str, Any] | None = None
    error: str = ""
    code: int = 0


class Worker:
    """Loads its engine with the first part that needs it, and keeps it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opened: _Opened | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """A batch of Ray Data's: columns of Parts in, JSON of Reports out."""
        columns = (batch[name].tolist() for name in Part.__annotations__)
        return {
            "report": [json.dumps(asdict(self._report(Part(*part)))) for part in zip(*columns, strict=True)]
        }

    def _report(self, part: Part) -> Report:
        try:
            if self._opened is None:
                self._opened = _Opened(self._job)
            return self._opened.work(part)
        except UserError as e:
            return Report(error=blotted(str(e)), code=e.exit_code)
        except OSError as e:  # a full disk, say
            told = f"{e.filename}: {e.strerror}" if e.filename else str(e)
            return Report(error=blotted(told), code=SetupError.exit_code)
        except Exception as e:  # a mistake of ours: Ray would try it again, and again
            return Report(error=blotted(one_line(f"{type(e).__name__}: {e}")), code=INTERNAL)


class _Opened:
    """A worker at work, with its seat, its shard and its engine. It ends with its process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._run = Run.open(job.run)
        self._claims = Claims(self._run.path, job.token)
        seat = self._claims.seat
        url = job.base_urls[seat % len(job.base_urls)] if job.base_urls else None
        self._how = _same(describing(**job.asked, base_url=url), job)
        self._asking = {**job.reach, "base_url": url}
        self._digests = Digests(self._run.path, seat)
        self._writer = self._run.writer(STAGE)
        self._write = self._writer.__enter__()
        self._engine: Engine | None = None
        self._reason = ""

    def work(self, part: Part) -> Report:
        """Describe what of a part has no row yet; each is on disk before the next is asked for."""
        lines = self._run.samples_between(part.start, part.end)
        samples = [sample for sample, done in zip(lines, part.done, strict=True) if sample and not done]
        written = set[str]()

        def count() -> int:
            """Find the rows that an earlier attempt, whose worker died, has left."""
            ids = {sample.id for sample in samples}
            found = Tail(self._run.path / STAGE, self._job.since).heads()
            written.update(head.id for head in found if head.id in ids)
            return len(written)

        with self._claims.part(part.number, count) as fruitless:
            if fruitless >= FRUITLESS:
                raise SetupError(
                    f"{fruitless} workers died, one after the other, at the {len(samples)} samples from "
                    f"{samples[0].id!r} on without a row between them: see Ray's logs"
                )
            pairs = self._todo([sample for sample in samples if sample.id not in written])
            if (first := next(pairs, None)) is None:
                return Report()
            if self._engine is None:
                self._engine, self._reason = build(model=self._how.ref, **self._asking)
            for row in describe_samples(chain([first], pairs), self._engine, self._how.plan):
                self._write(row)
        return Report(self._reason, self._engine.facts())

    def _todo(self, samples: list[Sample]) -> Iterator[tuple[Sample, str]]:
        fetch = fetching(self._run, STAGE, self._job.allow_urls)
        for sample, failure in fetch(samples) if fetch else ((sample, None) for sample in samples):
            if not self._claims.current():
                return
            key = failure or self._how.key(sample, self._digests)
            if isinstance(key, Failure):
                self._write(Row(id=sample.id, key="", failure=key))
            else:
                yield sample, key


def _same(how: Describing, job: Job) -> Describing:
    """What is to be asked, seen to be what the command is to ask."""
    found = json.loads(json.dumps(how.settings))
    if found != job.settings:
        names = [k for k in {**job.settings, **found} if found.get(k) != job.settings.get(k)]
        raise SetupError(
            f"a worker's {' and '.join(names)} is not the command's: "
            "flawscribe, the model and the files given must be the same on all machines"
        )
    return how
