"""What stage verbs are given: a run directory, or a manifest and where its run is to be."""

from pathlib import Path

from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest
from flawscribe.runs import Run


def open_run(source: str, out: str | None = None) -> Run:
    """The run to work on: `source` itself where it is a run, else `out` with the samples of `source`.

    Raises UserError where `out` is missing (or given beside a run), the input cannot be read or is empty.
    """
    if (Path(source) / "run.json").is_file():
        if out is not None and Path(out).resolve() != Path(source).resolve():
            raise UserError(f"{source} is a run already: leave -o out")
        return Run.open(source)
    if out is None:
        raise UserError(f"{source} is not a run: say where its run is to be with -o RUN")
    entries = read_manifest(source)
    run = Run.create(out)
    with run.lock():
        if run.set_samples(str(source), entries) == 0:
            raise UserError(f"{source} holds no images")
    return run
