"""What stage verbs are given: a run directory, or a manifest and where its run is to be."""

import tempfile
from pathlib import Path

from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest
from flawscribe.runs import Run

PICTURES = "pictures"
"""Folder of a run for the pictures that its input holds embedded (a Hugging Face dataset's)."""


def open_run(source: str, out: str | None = None) -> Run:
    """The run to work on: `source` itself where it is a run, else `out` with the samples of `source`.

    Raises UserError where `out` is missing (or given beside a run), the input cannot be read or is empty.
    """
    if (Path(source) / "run.json").is_file():
        if out and Path(out).resolve() != Path(source).resolve():
            raise UserError(f"{source} is a run already: leave -o out")
        run = Run.open(source)
        if next(run.rows("samples"), None) is None:
            raise UserError(f"{source} holds no images: give a manifest or a folder with -o {source}")
        return run
    if not out:
        raise UserError(f"{source} is not a run: say where its run is to be with -o RUN")
    if not (Path(out) / "run.json").is_file():
        _probe(source)
    run = Run.create(out)
    with run.lock():
        run.set_samples(str(source), read_manifest(source, run.path / PICTURES))
    return run


def _probe(source: str) -> None:
    """Look at the first row, so that an input that cannot be read leaves no run behind."""
    with tempfile.TemporaryDirectory() as scratch:
        if next(read_manifest(source, Path(scratch)), None) is None:
            raise UserError(f"{source} holds no images")
