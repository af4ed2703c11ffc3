"""The pictures of a run that its manifest names by addresses: fetched ahead of their turn, kept in the run."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from urllib.parse import urlsplit

from flawscribe.fetch import Rules, fetch
from flawscribe.images import ImageFailure
from flawscribe.records import Failure, Sample
from flawscribe.runs import Run
from flawscribe.stages import Ready

AHEAD, THREADS = 64, 16
_REMEMBERED = 10_000  # addresses that failed: many rows may have the same

_Job = tuple[str, Future[None]]


def fetching(run: Run, stage: str, allow_urls: bool, rules: Rules | None = None) -> Ready | None:
    """A function that gives samples their pictures (see `ready`); None where none is to be fetched."""
    return (lambda samples: ready(run, stage, samples, rules)) if allow_urls else None


def ready(
    run: Run, stage: str, samples: Iterable[Sample], rules: Rules | None = None
) -> Iterator[tuple[Sample, Failure | None]]:
    """The samples in their order, each whose image is an http(s) address with the file that was fetched from there.

    Up to `AHEAD` samples are looked at before their turn, `THREADS` pictures fetched at a time. Where a picture
    cannot be had, its sample comes with the failure.
    """
    waiting: deque[tuple[Sample, Future[None] | None]] = deque()
    under_way: dict[str, Future[None]] = {}
    failed: dict[str, Failure] = {}

    def first() -> tuple[Sample, Failure | None]:
        sample, future = waiting.popleft()
        url = sample.image
        try:
            if future is not None:
                future.result()
                sample = run.with_picture(sample)
        except ImageFailure as e:
            failure = e.failure(stage)
            if len(failed) < _REMEMBERED:
                failed[url] = failure
            return sample, failure
        finally:
            under_way.pop(url, None)
        return sample, failed.get(sample.image)

    with _workers(run, rules) as start:
        for sample in samples:
            future = None
            if _fetchable(sample.image) and sample.image not in failed:
                sample = run.with_picture(sample)  # it may have come since it was read
                if _fetchable(sample.image):
                    future = under_way.get(sample.image) or start(sample.image)
                    under_way[sample.image] = future
            waiting.append((sample, future))
            while waiting and (len(waiting) > AHEAD or waiting[0][1] is None or waiting[0][1].done()):
                yield first()
        while waiting:
            yield first()


def _fetchable(image: str) -> bool:
    try:
        return urlsplit(image).scheme in ("http", "https")
    except ValueError:
        return False


@contextmanager
def _workers(run: Run, rules: Rules | None) -> Iterator[Callable[[str], Future[None]]]:
    """A function that has an address fetched by one of some threads, which end with the block.

    They are daemons: neither Ctrl-C nor the end of the command waits for a server that dawdles.
    """
    jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    threads: list[threading.Thread] = []
    over = threading.Event()

    def work() -> None:
        while (job := jobs.get()) is not None and not over.is_set():
            url, future = job
            try:
                fetch(url, run.picture_path(url), rules)
            except BaseException as e:  # raised again where the sample's turn comes
                future.set_exception(e)
            else:
                future.set_result(None)

    def start(url: str) -> Future[None]:
        if len(threads) < THREADS:
            run.picture_path(url).parent.mkdir(exist_ok=True)
            threads.append(threading.Thread(target=work, daemon=True))
            threads[-1].start()
        future: Future[None] = Future()
        jobs.put((url, future))
        return future

    try:
        yield start
    finally:
        over.set()
        for _ in threads:
            jobs.put(None)
