"""Raw rows of JSONL, CSV, Parquet and Arrow files: (place, row), where a row that cannot be read is a BadRow."""

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from flawscribe.errors import UserError
from flawscribe.manifest_rows import BadRow

Raw = tuple[str, dict[str, Any] | BadRow]

MAX_LINE = 16_000_000
"""Longest line of a text manifest, in bytes; a longer one is a bad row."""

_BOM = b"\xef\xbb\xbf"
_BATCH = 64


def table_rows(path: Path, name: str, image: str = "image", after: int = 0) -> Iterator[Raw]:
    """The rows of a table file; `name` is what places ("NAME:LINE", from 1) call it, `image` its needed column.

    With `after`, only those behind so many.

    Raises UserError, here or at the first row, where the file cannot be read as what its extension says.
    """
    if TABLES[path.suffix.lower()] is _jsonl:
        return _jsonl(path, name, image, after)  # a line is passed over much faster than it is read
    return islice(TABLES[path.suffix.lower()](path, name, image), after, None)


def _jsonl(path: Path, name: str, image: str, after: int = 0) -> Iterator[Raw]:
    with path.open("rb") as f:
        _refuse_utf16(f, path)
        n = 0
        while line := f.readline(MAX_LINE + 1):
            n += 1
            if n == 1:
                line = line.removeprefix(_BOM)
            if after and len(line) <= MAX_LINE:
                after -= bool(line.strip())
            elif len(line) > MAX_LINE and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = f.readline(MAX_LINE)
                if after:
                    after -= 1
                else:
                    yield f"{name}:{n}", BadRow(f"the line is longer than {MAX_LINE // 10**6} MB")
            elif line.strip():
                yield f"{name}:{n}", _object(line)


def _object(line: bytes) -> dict[str, Any] | BadRow:
    try:
        row = _DECODER.decode(line.decode())
    except UnicodeDecodeError:
        return BadRow("not UTF-8 text")
    except RecursionError:
        return BadRow("not JSON: nested too deep")
    except ValueError as e:
        return BadRow(f"not JSON: {e}")
    return row if isinstance(row, dict) else BadRow("not a JSON object")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _csv(path: Path, name: str, image: str) -> Iterator[Raw]:
    csv.field_size_limit(MAX_LINE)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        with path.open("rb") as raw:
            _refuse_utf16(raw, path)
        header = f.readline(MAX_LINE)
        delimiter = max(",;\t", key=header.count)
        f.seek(0)
        lines = _Lines(f)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            columns = [column.strip() for column in next(reader, [])]
        except csv.Error as e:
            raise UserError(f"cannot read {path}: {lines.told(e)}") from e
        if columns and (image not in columns or len(set(columns)) != len(columns)):
            raise UserError(f"{path} needs a header line of different names, among them {image}")
        while True:
            line = lines.begin()
            try:
                cells = next(reader, None)
            except csv.Error as e:
                told = lines.told(e)
                lines.go_back()
                yield f"{name}:{line}", BadRow(f"{told}{lines.lost()}")
                continue
            if cells is None:
                return
            if len(cells) > len(columns):
                yield (
                    f"{name}:{line}",
                    BadRow(f"has {len(cells)} cells, but the header {len(columns)} (is a comma unquoted?)"),
                )
            elif cells:
                yield f"{name}:{line}", dict(zip(columns, cells, strict=False))


class _Lines:
    """The lines of a CSV file for its reader, which may go back to the second line of a row that failed.

    A quote that is not closed makes one cell of all that follows; going back saves the rows in it.
    """

    def __init__(self, f: IO[str]) -> None:
        self._file = f
        self._row: list[str] = []
        self._again: deque[str] = deque()
        self._number = 0
        self._size = 0
        self._budget = MAX_LINE  # characters to be read again in the whole file, lest its time be quadratic

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self._number += 1
        self._row.append(line)
        self._size += len(line)
        if len(line) == MAX_LINE and not line.endswith("\n"):
            while (more := self._file.readline(MAX_LINE)) and not more.endswith("\n"):
                pass
            raise csv.Error(f"the line is longer than {MAX_LINE // 10**6} MB")
        if self._size > MAX_LINE:
            raise csv.Error(f"the row is longer than {MAX_LINE // 10**6} MB")
        return line

    def begin(self) -> int:
        """Start a row; the number of its first line."""
        self._row.clear()
        self._size = 0
        return self._number + 1

    def told(self, error: csv.Error) -> str:
        """What is wrong with the row: the reader's own words fit only what is wrong within one line."""
        if len(self._row) > 1 or "end of data" in str(error):
            return "a quote is not closed"
        return f"not CSV: {error}"

    def go_back(self) -> None:
        """Give the row's lines after its first one again, where the file's budget allows that."""
        rest = self._row[1:]
        size = self._size - len(self._row[0]) if self._row else 0
        if size <= self._budget:
            self._budget -= size
            self._again.extendleft(reversed(rest))
            self._number -= len(rest)
            del self._row[1:]

    def lost(self) -> str:
        """Which lines after its first one the failed row has taken with it, for its message."""
        return f"; nothing is read up to line {self._number}" if len(self._row) > 1 else ""


def _refuse_utf16(f: IO[bytes], path: Path) -> None:
    if f.read(2) in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path} is UTF-16 text: save it as UTF-8")
    f.seek(0)


def _parquet(path: Path, name: str, image: str) -> Iterator[Raw]:
    try:
        with pq.ParquetFile(path) as file:
            _need(image, file.schema_arrow, path)
            classes = _class_names(file.schema_arrow)
            yield from _batches(file.iter_batches(batch_size=_BATCH), classes, name, 0)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:  # the last: names of columns
        raise _unreadable(path, "Parquet", e) from e


def arrow_rows(path: Path, name: str, start: int = 0) -> Iterator[Raw]:
    """The rows of an Arrow stream file, as Hugging Face's `save_to_disk` writes them; places count from `start` + 1."""
    try:
        with pa.memory_map(str(path)) as f, pa.ipc.open_stream(f) as stream:
            _need("image", stream.schema, path)
            yield from _batches(_slices(stream), _class_names(stream.schema), name, start)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:  # the last: names of columns
        raise _unreadable(path, "Arrow", e) from e


def _need(column: str, schema: pa.Schema, path: Path) -> None:
    if column not in schema.names:
        raise UserError(f"{path} has no column {column} (it has {', '.join(schema.names)[:200]})")


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        batch.validate(
            full=True
        )  # wrong offsets or lengths in a damaged file would be followed out of memory
        for at in range(0, batch.num_rows, _BATCH):
            yield batch.slice(at, _BATCH)


def _batches(
    batches: Iterable[pa.RecordBatch], classes: dict[str, list[str]], name: str, start: int
) -> Iterator[Raw]:
    n = start
    for batch in batches:
        for i in range(batch.num_rows):
            n += 1
            try:
                row = batch.slice(i, 1).to_pylist()[0]
            except (pa.ArrowException, ValueError, OverflowError) as e:  # bytes that are no UTF-8, far dates
                yield f"{name}:{n}", BadRow(f"cannot be read: {' '.join(str(e).split())[:120]}")
                continue
            for column, names in classes.items():
                value = row.get(column)
                if isinstance(value, int) and 0 <= value < len(names):
                    row[column] = names[value]
            yield f"{name}:{n}", row


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names behind Hugging Face's ClassLabel columns, which hold only numbers."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _unreadable(path: Path, kind: str, error: Exception) -> UserError:
    return UserError(f"{path} is not a readable {kind} file: {' '.join(str(error).split())[:160]}")


TABLES = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
"""Readers by extension."""
