"""What stage verbs are given: a run directory, or a manifest and where its run is to be."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from flawscribe import __version__
from flawscribe.arrivals import Entry, State
from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest
from flawscribe.runs import PICTURES, SAMPLES, Run


def open_run(source: str, out: str | None = None) -> Run:
    """The run to work on: `source` itself where it is a run, else `out` with the samples of `source`.

    Raises UserError where `out` is missing (or given beside a run), the input cannot be read or is empty.
    """
    if (Path(source) / "run.json").is_file():
        if out and Path(out).resolve() != Path(source).resolve():
            raise UserError(f"{source} is a run already: leave -o out")
        run = Run.open(source)
        if reading := run.reading():
            if reading["state"] is None or reading["state"] != state_of(Path(reading["state"]["path"])):
                raise UserError(
                    f"{source} holds only the beginning of {reading['input']}: give that again with -o {source}"
                )
            _follow(run, reading["state"]["path"])
        elif next(run.heads(SAMPLES), None) is None:
            raise UserError(f"{source} holds no images: give a manifest or a folder with -o {source}")
        return run
    if not out:
        raise UserError(f"{source} is not a run: say where its run is to be with -o RUN")
    if not (Path(out) / "run.json").is_file():
        _probe(source)
    run = Run.create(out)
    _follow(run, source)
    return run


@contextmanager
def looking_at(source: str, out: str | None = None) -> Iterator[tuple[Iterator[Entry], Run | None]]:
    """The samples of a run or a manifest, and the run that may hold rows of them; nothing is written to either.

    Raises UserError as `open_run` does, but `out` may be missing or not there yet.
    """
    given = (Path(source) / "run.json").is_file()
    at = Path(source if given else out or "")
    run = Run.open(at) if (at / "run.json").is_file() else None
    if given and run and not run.reading():
        yield run.samples(), run
        return
    if given and run and (reading := run.reading()) and reading["state"]:
        source = reading["state"]["path"]
    with tempfile.TemporaryDirectory() as scratch:
        entries = read_manifest(source, Path(scratch))
        if (first := next(entries, None)) is None:
            raise UserError(f"{source} holds no images")
        yield chain([first], entries), run


def _follow(run: Run, source: str) -> None:
    pictures = run.path / PICTURES
    run.follow(
        str(source),
        lambda n, ids: read_manifest(source, pictures, after=n, ids=ids),
        lambda: state_of(Path(source)),
    )


def state_of(manifest: Path) -> State | None:
    """What tells that a manifest is as it was; None for a folder, where that would mean looking at every picture."""
    if not manifest.is_file():
        return None
    info = manifest.stat()
    return {
        "path": str(manifest.absolute()),
        "size": info.st_size,
        "mtime_ns": info.st_mtime_ns,
        "flawscribe": __version__,
    }


def _probe(source: str) -> None:
    """Look at the first row, so that an input that cannot be read leaves no run behind."""
    with tempfile.TemporaryDirectory() as scratch:
        if next(read_manifest(source, Path(scratch)), None) is None:
            raise UserError(f"{source} holds no images")
