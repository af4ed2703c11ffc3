"""The run directory: append-only shards that survive a kill, and what is derived from them.

    RUN/run.json            provenance and every stage's settings
    RUN/<stage>/NNNN.jsonl  shards, one a process, a row a line, flushed a row: the truth
    RUN/<stage>.parquet     derived when a stage finishes; may be deleted

A stage run again does only the ids that have no good row under their current key. Readers take the
last row of an id; a torn last line of a shard (a kill in mid-write) is ignored.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from flawscribe.errors import SetupError, UserError
from flawscribe.provenance import provenance
from flawscribe.records import Failure, Record, Row, Sample
from flawscribe.secrets import blotted

SCHEMA = 1
R = TypeVar("R", bound=Record)
STAGES = ("samples", "describe", "segment", "judge")
_BEGUN = ("lock", "run.json", "run.json.tmp")  # what a folder holds whose run is only being made
_ROW_GROUP = 10_000
_COLUMNS = pa.schema(
    [(n, pa.bool_() if n == "ok" else pa.string()) for n in ("id", "key", "ok", "record", "failure")]
)


def key_of(**parts: Any) -> str:
    """A row's key: the first 32 hex digits of SHA-256 over the parts as canonical JSON.

    Give what decides a row's content (image digest, prompt, model and revision, prompt template
    version, sampling, schema version) and nothing else: no paths, no concurrency, no retries.
    """
    text = json.dumps({"schema": SCHEMA, **parts}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Run:
    """A run directory. `Run.create` makes or reopens one, `Run.open` needs it to be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locked = False
        self._replaced: tuple[BinaryIO | None, dict[str, Any]] | None = None

    @classmethod
    def create(cls, path: str | Path) -> "Run":
        """Open `path` as a run, making it if needed; a non-empty folder that is no run is refused."""
        if not str(path):
            raise UserError("the run directory has no name: give one with -o RUN")
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{str(path)!r} is no name that every file system and terminal can show"
            ) from None
        run = cls(Path(path))
        try:
            if not run._json.exists():
                if run.path.is_dir() and any(p.name not in _BEGUN for p in run.path.iterdir()):
                    raise UserError(f"{path} is not empty and not a run: give a new folder with -o")
                run.path.mkdir(parents=True, exist_ok=True)
                with run.lock():
                    if not run._json.exists():  # another process may have made it since
                        run._save({"schema": SCHEMA, "created": now(), **provenance(), "stages": {}})
        except OSError as e:
            raise SetupError(f"cannot write to {path}: {e.strerror or e}") from e
        return run.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open an existing run; UserError where `path` holds none or one of another schema."""
        run = cls(Path(path))
        if not run._json.is_file():
            raise UserError(f"{path} is not a run (it has no run.json)")
        run._refuse_links()
        if (schema := run.info().get("schema")) != SCHEMA:
            raise UserError(f"{path} was written with schema {schema}; this flawscribe reads {SCHEMA}")
        return run

    def _refuse_links(self) -> None:
        """A run holds none; a forged one could have us write over any file of its reader's."""
        for folder in (self.path, *(self.path / stage for stage in STAGES)):
            for entry in os.scandir(folder) if folder.is_dir() else ():
                if entry.is_symlink():
                    raise UserError(f"{entry.path} is a symbolic link, which no run holds: remove it")

    @property
    def _json(self) -> Path:
        return self.path / "run.json"

    def info(self) -> dict[str, Any]:
        """The content of run.json."""
        try:
            info = json.loads(self._json.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as e:
            raise UserError(f"cannot read {self._json}: {e}") from e
        stages = info.get("stages") if isinstance(info, dict) else None
        if (
            not isinstance(stages, dict)
            or not all(
                isinstance(s, dict) and isinstance(s.get("settings", {}), dict) for s in stages.values()
            )
            or not all(isinstance(info.get(name) or {}, dict) for name in ("commit", "versions"))
        ):
            raise UserError(f"{self._json} is not a run description")
        return info

    def _save(self, info: dict[str, Any]) -> None:
        write_atomically(self._json, json.dumps(info, indent=1) + "\n")

    def note(self, stage: str, **facts: Any) -> None:
        """Record facts about a stage in run.json beside its settings (engine, tokens, versions)."""
        info = self.info()
        info["stages"].setdefault(stage, {}).update(facts)
        self._save(info)

    def begin(self, stage: str, settings: dict[str, Any], redo: bool = False) -> None:
        """Fix a stage's settings; other ones than before are refused unless `redo`, which clears the stage.

        A stage without a good row yet (its server could not be reached, say) takes new settings freely. What is
        refused also puts back the samples that `set_samples` replaced in this process.
        """
        info = self.info()
        before = info["stages"].get(stage, {}).get("settings")
        settings = json.loads(json.dumps(settings))
        if redo:
            self._clear(stage)
        elif before not in (None, settings) and any(row.ok for row in self.rows(stage)):
            self._put_back_samples()
            names = [k for k in sorted({*before, *settings}) if before.get(k) != settings.get(k)]
            told = ", ".join(f"{k} was {before.get(k)!r} and is now {settings.get(k)!r}" for k in names)
            raise UserError(
                f"the stage {stage} of {self.path} was begun with other settings: {told}. "
                f"Give the same ones or a new -o, or have the stage begun anew "
                f"(--redo; with flawscribe run: --redo {stage})"
            )
        self._replaced = None
        # A pass with the same settings goes on with what is known of the stage (its engine, its tokens).
        known = info["stages"].get(stage, {}) if before == settings and not redo else {}
        info["stages"][stage] = {**known, "settings": settings, "started": now()}
        info["versions"] = provenance()["versions"]
        self._save(info)

    def _clear(self, stage: str) -> None:
        for shard in self._shards(stage):
            shard.unlink()
        (self.path / f"{stage}.parquet").unlink(missing_ok=True)

    def has(self, stage: str) -> bool:
        """Whether the stage was ever begun in this run."""
        return stage in self.info()["stages"]

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings the stage was begun with, {} if it never was."""
        return self.info()["stages"].get(stage, {}).get("settings", {})

    def _shards(self, stage: str) -> list[Path]:
        return sorted((self.path / stage).glob("*.jsonl"))

    def rows(self, stage: str) -> Iterator[Row]:
        """Every row of a stage in the order written, superseded ones too (the last of an id counts)."""
        for shard in self._shards(stage):
            with shard.open("rb") as f:
                for n, line in enumerate(f, 1):
                    if line.endswith(b"\n"):
                        yield _row(line, shard, n)

    def latest(self, stage: str) -> dict[str, Row]:
        """The row that counts for each id."""
        return {row.id: row for row in self.rows(stage)}

    def lookup(self, stage: str) -> Callable[[str], Row | None]:
        """As `latest`, for runs of any length: a function from an id to its row; only offsets are kept."""
        where = self._places(stage)

        def find(id: str) -> Row | None:
            return self._at(*where[id]) if id in where else None

        return find

    def current(self, stage: str) -> Iterator[Row]:
        """The row that counts for each id, streamed."""
        return (self._at(*place) for place in self._places(stage).values())

    def _places(self, stage: str) -> dict[str, tuple[Path, int]]:
        """Where the row that counts for each id stands: its shard and the offset of its line."""
        where = {}
        for shard in self._shards(stage):
            with shard.open("rb") as f:
                at = 0
                for n, line in enumerate(f, 1):
                    if line.endswith(b"\n"):
                        where[_row(line, shard, n).id] = shard, at
                    at += len(line)
        return where

    def _at(self, shard: Path, offset: int) -> Row:
        with shard.open("rb") as f:
            f.seek(offset)
            return _row(f.readline(), shard, 0)

    def samples(self) -> Iterator[Sample]:
        """The samples of the run that could be read, in the manifest's order."""
        for row in self.rows("samples"):
            if row.record is not None:
                try:
                    yield Sample.model_validate(row.record)
                except ValueError as e:
                    why = str(e).splitlines()[0]
                    raise UserError(f"{self.path}/samples is damaged ({why}): give its manifest again") from e

    def set_samples(self, source: str, entries: Iterable[Sample | tuple[str, Failure]]) -> int:
        """Write the run's samples (a bad manifest row comes as `(id, Failure)`); returns their number.

        The list replaces the previous one as a whole: a manifest that grew or changed is followed.
        """
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        new, n = folder / "new.tmp", 0
        with new.open("w", encoding="utf-8") as f:
            for n, entry in enumerate(entries, 1):  # noqa: B007 (n is the number of rows afterwards)
                if isinstance(entry, Sample):
                    record = entry.model_dump(mode="json")
                    row = Row(id=entry.id, key=key_of(sample=record), record=record)
                else:
                    row = Row(id=entry[0], key="", failure=entry[1])
                f.write(_line(row))
            f.flush()
            os.fsync(f.fileno())
        if n == 0:
            new.unlink()
            raise UserError(f"{source} holds no images")
        current = folder / "0001.jsonl"
        # Held open, so that a command that is refused after all can put them back.
        self._replaced = current.open("rb") if current.exists() else None, self.info()
        os.replace(new, current)
        self.note("samples", settings={"input": source}, rows=n)
        return n

    def _put_back_samples(self) -> None:
        """Undo `set_samples`: a command that is refused changes nothing."""
        if self._replaced is None:
            return
        before, info = self._replaced
        if before is not None:
            temporary = self.path / "samples" / "new.tmp"
            with before, temporary.open("wb") as f:
                shutil.copyfileobj(before, f)
            os.replace(temporary, self.path / "samples" / "0001.jsonl")
        self._replaced = None
        self._save(info)

    @contextmanager
    def writer(self, stage: str) -> Iterator[Callable[[Row], None]]:
        """A function that appends rows to this process's own shard (made by its first row), flushed a row."""
        folder = self.path / stage
        folder.mkdir(exist_ok=True)
        names = [p.stem for p in self._shards(stage)]
        number = max((int(n) for n in names if n.isascii() and n.isdecimal()), default=0) + 1
        shard: TextIO | None = None

        def write(row: Row) -> None:
            nonlocal shard
            if shard is None:
                shard = (folder / f"{number:04d}.jsonl").open("x", encoding="utf-8")
            shard.write(_line(row))
            shard.flush()

        try:
            yield write
        finally:
            if shard is not None:
                shard.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; a second process is refused with one line. Who holds it may take it again."""
        if self._locked:
            yield
            return
        with os.fdopen(os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)) as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another process is working on {self.path}") from None
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def compact(self, stage: str) -> None:
        """Derive RUN/<stage>.parquet (columns id, key, ok, record, failure; the last two as JSON text)."""
        temporary = self.path / f"{stage}.parquet.tmp"
        rows = self.current(stage)
        with temporary.open("wb") as f:
            with pq.ParquetWriter(f, _COLUMNS) as out:
                while chunk := list(islice(rows, _ROW_GROUP)):
                    out.write_table(pa.Table.from_pylist([_flat(row) for row in chunk], _COLUMNS))
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, self.path / f"{stage}.parquet")


def write_atomically(path: Path, text: str) -> None:
    """Write text to a temporary file beside `path`, flush it to disk and rename it into place."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _line(row: Row) -> str:
    return blotted(row.model_dump_json(exclude_none=True, ensure_ascii=True)) + "\n"


def _flat(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "key": row.key,
        "ok": row.ok,
        "record": json.dumps(row.record) if row.ok else None,
        "failure": row.failure.model_dump_json() if row.failure else None,
    }


def record_of(row: Row, model: type[R], stage: str, part: str | None = None) -> R:
    """The record of a good row, or its `part`, as what `stage` writes; UserError where the row is damaged."""
    try:
        return model.model_validate(row.record if part is None else (row.record or {})[part])
    except (KeyError, ValueError) as e:
        why = str(e).splitlines()[0]
        raise UserError(f"the {stage} row of {row.id!r} is damaged ({why}): give --redo {stage}") from e


def _row(line: bytes, shard: Path, n: int) -> Row:
    try:
        return Row.model_validate_json(line)
    except ValueError as e:
        raise UserError(
            f"{shard}:{n} is damaged ({str(e).splitlines()[0]}); delete that line to go on"
        ) from e


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
