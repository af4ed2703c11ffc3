"""What a folder holds: a manifest, a Hugging Face dataset, or pictures with prompts beside them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flawscribe.errors import UserError
from flawscribe.images import extensions
from flawscribe.manifest_rows import BadRow, Source, sample_of
from flawscribe.manifest_tables import TABLES, arrow_rows, table_rows
from flawscribe.records import Failure, Sample

MAX_PROMPT = 100_000
"""Longest prompt file, in bytes."""

Checked = tuple[str, Sample | Failure]


def folder_rows(folder: Path, pictures: Path | None) -> Iterator[Checked]:
    """The samples of a folder. Raises UserError where it holds nothing that can be read.

    Looked for in this order: `manifest.*`, a `save_to_disk` dataset, `metadata.*` beside pictures
    (in the folder or in its subfolders: Hugging Face's ImageFolder), Parquet files, pictures.
    """
    if (folder / "run.json").is_file():
        raise UserError(f"{folder} is a run, not a manifest")
    if manifest := _one_table(folder, "manifest"):
        source = Source(manifest.parent.absolute(), pictures)
        return ((p, sample_of(raw, p, source)) for p, raw in table_rows(manifest, manifest.name))
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _saved(folder, pictures)
    metadata = [found for place in (folder, *_subfolders(folder)) if (found := _one_table(place, "metadata"))]
    if metadata:
        return _image_folder(folder, metadata, pictures)
    if tables := _files(folder, {".parquet"}):
        return _parquet_files(folder, tables, pictures)
    return _pictures(folder)


def _one_table(folder: Path, stem: str) -> Path | None:
    found = [path for ext in TABLES if (path := folder / f"{stem}{ext}").is_file()]
    if len(found) > 1:
        raise UserError(f"{folder} holds several manifests ({', '.join(p.name for p in found)}): name one")
    return found[0] if found else None


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below with its file names, sorted; without what is hidden, and without runs."""

    def fail(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(
            f
            for f in folders
            if not f.startswith(".") and not os.path.isfile(os.path.join(place, f, "run.json"))
        )
        yield Path(place), sorted(f for f in files if not f.startswith("."))


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    return [
        place / name
        for place, names in _walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in suffixes
    ]


def _pictures(folder: Path) -> Iterator[Checked]:
    known = extensions()
    found = False
    for place, names in _walk(folder):
        for name in names:
            if os.path.splitext(name)[1].lower() in known:
                found = True
                yield _picture(folder, place / name)
    if not found:
        raise UserError(f"{folder} holds no pictures and no manifest")


def _picture(folder: Path, path: Path) -> Checked:
    id = path.relative_to(folder).as_posix()
    place = id.encode(errors="backslashreplace").decode()
    raw: dict[str, Any] | BadRow
    try:
        raw = {"id": id, "image": str(path.absolute()), "prompt": _prompt(path.with_suffix(".txt"))}
    except BadRow as e:
        raw = e
    return place, sample_of(raw, place, Source(folder.absolute()))


def _prompt(path: Path) -> str | None:
    if not path.is_file():
        return None
    if path.is_symlink():  # it might lead anywhere, and its text would be shown and sent
        raise BadRow(f"{path.name} is a symbolic link: not read as a prompt")
    try:
        with path.open("rb") as f:
            content = f.read(MAX_PROMPT + 1)
        if len(content) > MAX_PROMPT:
            raise BadRow(f"{path.name} is longer than {MAX_PROMPT} bytes: not a prompt")
        return content.decode("utf-8-sig").strip()
    except OSError as e:
        raise BadRow(f"cannot read {path.name}: {e.strerror}") from e
    except UnicodeDecodeError:
        raise BadRow(f"{path.name} is not UTF-8 text") from None


def _image_folder(folder: Path, metadata: list[Path], pictures: Path | None) -> Iterator[Checked]:
    """ImageFolder's layout: `file_name` is relative to its metadata file, and with the folder before it the id."""
    for table in metadata:
        name = table.relative_to(folder).as_posix()
        source = Source(table.parent.absolute(), pictures)
        prefix = table.parent.relative_to(folder)
        for place, raw in table_rows(table, name, image="file_name"):
            if isinstance(raw, dict) and isinstance(file := raw.pop("file_name", None), str) and file:
                raw = {"id": (prefix / file).as_posix(), **raw, "image": file}
            yield place, sample_of(raw, place, source)


def _parquet_files(folder: Path, tables: list[Path], pictures: Path | None) -> Iterator[Checked]:
    """A downloaded dataset's Parquet files. Rows without an id are called "FILE/NUMBER" (no extension, from 0)."""
    for table in tables:
        name = table.relative_to(folder).as_posix()
        for n, (place, raw) in enumerate(table_rows(table, name)):
            if isinstance(raw, dict):
                raw.setdefault("id", f"{name.removesuffix('.parquet')}/{n}")
            yield place, sample_of(raw, place, Source(table.parent.absolute(), pictures))


def _saved(folder: Path, pictures: Path | None) -> Iterator[Checked]:
    """A dataset, or its splits, as `save_to_disk` writes them. Rows without an id are called "SPLIT/NUMBER", from 0."""
    splits = [""]
    if (folder / "dataset_dict.json").is_file():
        splits = _names(folder / "dataset_dict.json", lambda content: content["splits"])
    for split in splits:
        files = _names(folder / split / "state.json", lambda c: [f["filename"] for f in c["_data_files"]])
        n = 0
        for file in files:
            for place, raw in arrow_rows(folder / split / file, split or folder.name, n):
                if isinstance(raw, dict):
                    raw.setdefault("id", f"{split}/{n}" if split else str(n))
                n += 1
                yield place, sample_of(raw, place, Source((folder / split).absolute(), pictures))


def _names(path: Path, pick: Any) -> list[str]:
    """The file or folder names in one of `save_to_disk`'s JSON files: plain names only, none that leads elsewhere."""
    try:
        names = list(pick(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise UserError(
            f"cannot read {path}: {getattr(e, 'strerror', None) or 'not what save_to_disk writes'}"
        ) from e
    if not all(
        isinstance(name, str) and name == os.path.basename(name) and name.strip(".") for name in names
    ):
        raise UserError(f"{path} names files outside its folder")
    return names
