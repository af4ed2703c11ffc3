"""Descriptions made elsewhere, as the describe stage of a run."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from flawscribe.errors import UserError, is_text, one_line
from flawscribe.keys import key_of
from flawscribe.records import Description, Failure, FailureKind, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, run_stage

STAGE = "describe"
COLUMNS = ("id", "description", "defective", "p_defective", "status", "failure_message")
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_UNEVEN: Any = object()  # a CSV row's description where its cells do not fit the header


def import_descriptions(
    run: Run, file: str | Path, redo: bool = False, tell: Callable[[str], None] | None = None
) -> Counts:
    """Fill the describe stage from a JSONL, CSV or Parquet file.

    Columns: `id`, `description` (text, or null/empty for "no defect"), optionally `defective`,
    `p_defective` in [0, 1] and an export's `status` and `failure_message`; others are ignored. Samples
    without a row fail as missing_answer, rows that contradict themselves as invalid_answer, repeated ids
    as repeated_id. `tell` gets a line on rows that fit no sample. UserError where the file cannot be read.
    """
    path = Path(file)
    if not path.is_file():
        raise UserError(f"cannot read {path}: {'not a regular file' if path.exists() else 'no such file'}")
    outcomes = _read(path)

    def key(sample: Sample) -> str:
        return key_of(stage=STAGE, imported=repr(outcomes.get(sample.id)))

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for sample, k in pairs:
            missing = _failure(FailureKind.MISSING_ANSWER, f"{path.name} has no row for this id")
            outcome = outcomes.get(sample.id, missing)
            if isinstance(outcome, Failure):
                yield Row(id=sample.id, key=k, failure=outcome)
            else:
                yield Row(id=sample.id, key=k, record=outcome.model_dump(mode="json"))

    settings = {"descriptions": path.name, "digest": _digest(path)}
    with run.lock():
        counts = run_stage(run, STAGE, settings, key, process, redo=redo)
        extra = outcomes.keys() - {sample.id for sample in run.samples()}
        run.note(STAGE, reason=f"imported from {path.name}", rows_without_sample=len(extra))
    if extra and tell:
        tell(
            f"{path.name}: {len(extra)} of {len(outcomes)} rows fit no sample of the run, such as {min(extra)!r}"
        )
    return counts


def _failure(kind: FailureKind, message: str) -> Failure:
    return Failure(stage=STAGE, kind=kind, message=message)


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:16]


def _read(path: Path) -> dict[str, Description | Failure]:
    outcomes: dict[str, Description | Failure] = {}
    try:
        for n, row in enumerate(_rows(path), 1):
            name = row.get("id")
            if name is None or str(name) == "":
                raise UserError(f"{path}, row {n} has no id")
            if str(name) in outcomes:
                outcomes[str(name)] = _failure(
                    FailureKind.REPEATED_ID, f"{path.name} has several rows for this id"
                )
            else:
                outcomes[str(name)] = _outcome(row)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as e:
        raise UserError(f"cannot read {path}: {one_line(getattr(e, 'strerror', None) or e)}") from e
    return outcomes


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    kind = path.suffix.lower()
    if kind == ".parquet":
        file = pq.ParquetFile(path)
        columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        _need(path, columns)
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
    elif kind == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as f:
            reader = csv.DictReader(f, strict=True)
            _need(path, list(reader.fieldnames or ()))
            for row in reader:
                # A comma too many (an unquoted text) or too few must not become another answer.
                uneven = None in row or None in row.values()
                yield {**row, "description": _UNEVEN} if uneven else row
    elif kind in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8-sig") as f:
            for n, line in enumerate(f, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as e:
                    raise UserError(f"{path}:{n} is not JSON: {one_line(e)}") from e
                if not isinstance(row, dict):
                    raise UserError(f"{path}:{n} is not an object")
                _need(path, list(row))
                yield row
    else:
        raise UserError(f"{path}: descriptions come as .jsonl, .csv or .parquet")


def _need(path: Path, columns: list[str]) -> None:
    for name in COLUMNS[:2]:
        if name not in columns:
            raise UserError(f"{path} has no column {name!r}")


def _outcome(row: dict[str, Any]) -> Description | Failure:
    """One row as a Description: a text means defective, none flawless, and `defective` must agree.

    A row that an export calls failed stays a failure: no answer is not the answer "no defect".
    """
    if row.get("status") == "failed":
        return _failure(
            FailureKind.MISSING_ANSWER, one_line(row.get("failure_message") or "failed elsewhere")
        )
    text, said, probability = row["description"], row.get("defective"), row.get("p_defective")
    if text is _UNEVEN:
        return _failure(FailureKind.INVALID_ANSWER, "the row has more or fewer cells than the header")
    if text is not None and not isinstance(text, str):
        return _failure(
            FailureKind.INVALID_ANSWER, f"description is {type(text).__name__}, not a text or null"
        )
    text = (text or "").strip()
    if isinstance(said, str):
        word = said.strip().lower()
        said = True if word in _YES else False if word in _NO else None if word == "" else said
    if said is not None and not isinstance(said, bool):
        return _failure(
            FailureKind.INVALID_ANSWER, f"defective is {one_line(repr(said), 60)}, not true or false"
        )
    if said is not None and said != bool(text):
        without = "without" if said else "with"
        return _failure(
            FailureKind.INVALID_ANSWER, f"defective is {str(said).lower()} {without} a description"
        )
    if not is_text(text):
        return _failure(
            FailureKind.INVALID_ANSWER, "the description holds half a surrogate pair, which is no text"
        )
    try:
        if isinstance(probability, bool):
            raise TypeError("a boolean is no probability")
        probability = None if probability in (None, "") else float(probability)
        return Description(defective=bool(text), p_defective=probability, text=text)
    except (ValidationError, ValueError, TypeError, OverflowError):
        told = one_line(repr(row.get("p_defective")), 60)
        return _failure(FailureKind.INVALID_ANSWER, f"p_defective is {told}, not a number from 0 to 1")
