"""The run directory: append-only shards that survive a kill, and what is derived from them.

    RUN/run.json            provenance and every stage's settings
    RUN/<stage>/NNNN.jsonl  shards, one a process, a row a line, flushed a row: the truth
    RUN/workers             which of a run's many processes is at what (see `flawscribe.claims`)
    RUN/<stage>.parquet     derived when a stage finishes; may be deleted

A stage run again does only the ids that have no good row under their current key. Readers take the
last row of an id; a torn last line of a shard (a kill in mid-write) is ignored.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

from flawscribe.arrivals import Arrivals, Entries, Entry, State
from flawscribe.claims import wait_for_workers
from flawscribe.errors import SetupError, UserError
from flawscribe.keys import SCHEMA
from flawscribe.parquet import write_parquet
from flawscribe.picture_files import is_url
from flawscribe.provenance import provenance
from flawscribe.records import Record, Row, Sample
from flawscribe.shards import (
    Head,
    Passed,
    Places,
    good_keys,
    heads,
    line_of,
    new_shard,
    number_of,
    row_of,
    shards_in,
)

R = TypeVar("R", bound=Record)
SAMPLES = "samples"
PICTURES = "pictures"
"""Folder of a run for the pictures that its input holds embedded, or names by addresses."""
STAGES = (SAMPLES, "describe", "segment", "judge")
_BEGUN = ("lock", "run.json", "run.json.tmp")  # what a folder holds whose run is only being made


class Run:
    """A run directory. `Run.create` makes or reopens one, `Run.open` needs it to be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locked = False
        self._arrivals: Arrivals | None = None
        self._state_of: Callable[[], State | None] = lambda: None

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

    def begin(
        self, stage: str, settings: dict[str, Any], redo: bool = False, since: int | None = None
    ) -> None:
        """Fix a stage's settings; other ones than before are refused unless `redo`, which clears the stage.

        With `since`, shards numbered above it are not cleared: they are the new rows.

        A stage without a good row yet (its server could not be reached, say) takes new settings freely.
        """
        info = self.info()
        before = info["stages"].get(stage, {}).get("settings")
        settings = json.loads(json.dumps(settings))
        if redo:
            self._clear(stage, since)
        elif before not in (None, settings) and any(head.ok for head in heads(self._shards(stage))):
            self._arrivals = None
            names = [k for k in sorted({*before, *settings}) if before.get(k) != settings.get(k)]
            told = ", ".join(f"{k} was {before.get(k)!r} and is now {settings.get(k)!r}" for k in names)
            raise UserError(
                f"the stage {stage} of {self.path} was begun with other settings: {told}. "
                f"Give the same ones or a new -o, or have the stage begun anew "
                f"(--redo; with flawscribe run: --redo {stage})"
            )
        # A pass with the same settings goes on with what is known of the stage (its engine, its tokens).
        known = info["stages"].get(stage, {}) if before == settings and not redo else {}
        info["stages"][stage] = {**known, "settings": settings, "started": now()}
        info["versions"] = provenance()["versions"]
        self._save(info)

    def _clear(self, stage: str, since: int | None) -> None:
        for shard in self._shards(stage):
            if since is None or number_of(shard) <= since:
                shard.unlink()
        (self.path / f"{stage}.parquet").unlink(missing_ok=True)

    def has(self, stage: str) -> bool:
        """Whether the stage was ever begun in this run."""
        return stage in self.info()["stages"]

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings the stage was begun with, {} if it never was."""
        return self.info()["stages"].get(stage, {}).get("settings", {})

    def _shards(self, stage: str) -> list[Path]:
        return shards_in(self.path / stage)

    def last_shard(self, stage: str) -> int:
        """The highest number of a shard, 0 where there is none: later rows stand in shards of higher ones."""
        return max(map(number_of, self._shards(stage)), default=0)

    def rows(self, stage: str) -> Iterator[Row]:
        """Every row of a stage in the order written, superseded ones too (the last of an id counts)."""
        if stage == SAMPLES:
            self._arrive()
        return (head.row for head in heads(self._shards(stage)))

    def heads(self, stage: str) -> Iterator[Head]:
        """As `rows`, but only looked at as far as their heads."""
        return heads(self._shards(stage))

    def latest(self, stage: str) -> dict[str, Row]:
        """The row that counts for each id."""
        return {row.id: row for row in self.rows(stage)}

    def lookup(self, stage: str) -> Callable[[str], Row | None]:
        """As `latest`, for runs of any length: a function from an id to its row; only places are kept."""
        return Places(self._shards(stage)).find

    def current(self, stage: str) -> Iterator[Row]:
        """The row that counts for each id, streamed."""
        return (head.row for head in self.current_heads(stage))

    def current_heads(self, stage: str) -> Iterator[Head]:
        """As `current`, but only looked at as far as their heads."""
        return Places(self._shards(stage)).current()

    def good(self, stage: str) -> dict[bytes, bytes]:
        """The ids (in UTF-8) whose row that counts is good, with the beginning of its key (`shards.begin_of`)."""
        return good_keys(self._shards(stage))

    def samples(self, passed: Passed | None = None) -> Iterator[Sample]:
        """The samples of the run that could be read, in the manifest's order, but for those whose id is `passed`.

        A manifest that was given to `follow` is read as they are asked for.
        """
        if self._arrivals is not None and self._locked:
            yield from self._arriving(self._arrivals, passed)
            return
        self._arrive()
        for head in heads(self._shards(SAMPLES), passed=passed):
            if head.ok:
                yield self.sample_of(head.row)

    def _arriving(self, arrivals: Arrivals, passed: Passed | None) -> Iterator[Sample]:
        """The samples of a manifest that is being read; at its end they take the place of those before."""
        if not arrivals.begun:
            self.note(SAMPLES, reading=arrivals.of)
        for entry in arrivals.walk(passed):
            if entry is None or (isinstance(entry, Head) and not entry.ok):
                continue
            yield self.with_picture(entry) if isinstance(entry, Sample) else self.sample_of(entry.row)
        if self._arrivals is not arrivals:
            return
        self._arrivals = None
        if not arrivals.rows:
            arrivals.file.unlink()
            raise UserError(f"{arrivals.of['input']} holds no images")
        arrivals.close()
        os.replace(arrivals.file, self._list)
        info = self.info()
        info["stages"][SAMPLES] = {
            "settings": {"input": arrivals.of["input"]},
            # A source that changed while it was read is read again.
            "state": arrivals.of["state"] if self._state_of() == arrivals.of["state"] else None,
            "rows": arrivals.rows,
            "failed": arrivals.failed,
        }
        self._save(info)

    def _arrive(self) -> None:
        """Read what is left of a manifest."""
        if self._arrivals is not None:
            with self.lock():
                for _ in self.samples():
                    pass

    def sample_of(self, row: Row) -> Sample:
        """The sample of a good row of `samples`, with the file of its picture where that was fetched."""
        try:
            return self.with_picture(Sample.model_validate(row.record))
        except ValueError as e:
            why = str(e).splitlines()[0]
            raise UserError(f"{self.path}/samples is damaged ({why}): give its manifest again") from e

    def with_picture(self, sample: Sample) -> Sample:
        """The sample, with the file in place of the address of a picture that was fetched."""
        if is_url(sample.image) and (path := self.picture_path(sample.image)).is_file():
            return sample.model_copy(update={"image": str(path)})
        return sample

    def picture_path(self, url: str) -> Path:
        """Where the picture at an address is kept once it was fetched."""
        name = hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:32]
        return self.path.absolute() / PICTURES / f"{name}.fetched"

    def may_send_to(self, stage: str) -> list[str]:
        """The hosts to which leave was given to send what the stage sends."""
        given = self.info().get("may_send_to")
        hosts = given.get(stage) if isinstance(given, dict) else None
        return hosts if isinstance(hosts, list) else []

    def allow_sending(self, stage: str, host: str) -> None:
        """Keep that leave was given."""
        info = self.info()
        given = info.get("may_send_to")
        given = given if isinstance(given, dict) else {}
        info["may_send_to"] = {**given, stage: [*self.may_send_to(stage), host]}
        self._save(info)

    @property
    def _list(self) -> Path:
        return self.path / SAMPLES / "0001.jsonl"

    def sample_heads(self) -> Iterator[Head]:
        """The heads of the samples' rows, in the manifest's order, all of them read."""
        self._arrive()
        return self.heads(SAMPLES)

    def samples_between(self, start: int, end: int) -> list[Sample | None]:
        """The samples whose lines begin and end at these bytes of their list; None for those that were not read."""
        with self._list.open("rb") as f:
            f.seek(start)
            rows = [row_of(line, self._list) for line in f.read(end - start).splitlines(keepends=True)]
        return [self.sample_of(row) if row.ok else None for row in rows]

    def set_samples(self, source: str, entries: Iterable[Entry]) -> int:
        """Write the run's samples (a bad manifest row comes as `(id, Failure)`); returns their number.

        The list takes the place of the previous one as a whole: a manifest that grew or changed is followed.
        """
        self.follow(source, lambda n, ids: islice(entries, n, None))
        self._arrive()
        return int(self.info()["stages"][SAMPLES]["rows"])

    def follow(
        self, source: str, entries: Entries, state_of: Callable[[], State | None] = lambda: None
    ) -> None:
        """As `set_samples`, but the entries are read as `samples` is walked: a command that is refused changes nothing.

        `state_of` gives what tells that the source is as it was: with it nothing is read again, and a list that was
        left off in the middle is gone on with.
        """
        known, state = self.info()["stages"].get(SAMPLES, {}), state_of()
        first = "rows" not in known
        if not first and state is not None and known.get("state") == state and self._list.exists():
            self._arrivals = None
            return
        of = {"input": source, "state": state}
        # The first list is read by others while it grows; a later one takes the place of what they read.
        file = self._list if first else self._list.with_name("new.tmp")
        going_on = state is not None and known.get("reading") == of
        self._arrivals, self._state_of = Arrivals(file, entries, of, going_on), state_of
        if first and not going_on:
            with self.lock():
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(b"")
                self.note(SAMPLES, reading=of)

    def reading(self) -> dict[str, Any] | None:
        """The source that was not read to its end, as `follow` was given it (input, state)."""
        reading: dict[str, Any] | None = self.info()["stages"].get(SAMPLES, {}).get("reading")
        return reading

    def expected(self) -> int | None:
        """How many samples there are, where that is known without reading a manifest."""
        if self._arrivals is not None:
            return None
        facts = self.info()["stages"].get(SAMPLES, {})
        return facts["rows"] - facts.get("failed", 0) if "rows" in facts else None

    @contextmanager
    def writer(self, stage: str) -> Iterator[Callable[[Row], None]]:
        """A function that appends rows to this process's own shard (made by its first row), flushed a row."""
        folder = self.path / stage
        folder.mkdir(exist_ok=True)
        shard: TextIO | None = None

        def write(row: Row) -> None:
            nonlocal shard
            if shard is None:
                shard = new_shard(folder, self.last_shard(stage) + 1)
            shard.write(line_of(row))
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
            wait_for_workers(self.path)  # a command that died may have left some behind
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def compact(self, stage: str) -> None:
        """Derive RUN/<stage>.parquet (columns id, key, ok, record, failure; the last two as JSON text)."""
        write_parquet(self.current_heads(stage), self.path / f"{stage}.parquet")


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


def record_of(row: Row, model: type[R], stage: str, part: str | None = None) -> R:
    """The record of a good row, or its `part`, as what `stage` writes; UserError where the row is damaged."""
    try:
        return model.model_validate(row.record if part is None else (row.record or {})[part])
    except (KeyError, ValueError) as e:
        why = str(e).splitlines()[0]
        raise UserError(f"the {stage} row of {row.id!r} is damaged ({why}): give --redo {stage}") from e


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
