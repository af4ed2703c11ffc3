"""Files of a source that others have made: bounded, and never outside the source's own folder."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure, extensions
from flawscribe.picture_files import is_url
from flawscribe.records import FailureKind
from segment.importers.base import bad_row

MAX_JSON = 1_000_000_000
"""Longest annotation file that is held in memory, in bytes."""


def load_json(path: Path) -> Any:
    """The content of a JSON file of at most 1 GB; UserError where it is none. NaN comes as a float, checked later."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device: without an end
            raise UserError(f"{path} is no regular file")
        if path.stat().st_size > MAX_JSON:
            raise UserError(f"{path} is over {MAX_JSON // 10**9} GB: split it")
        with path.open("rb") as f:
            return json.load(f)
    except OSError as e:
        raise UserError(f"cannot read {path}: {e.strerror or e}") from e
    except (ValueError, RecursionError) as e:
        raise UserError(f"{path} is not JSON: {one_line(e, 120) or 'nested too deep'}") from e


def inside(root: Path, name: object) -> Path:
    """The path of `name` below `root`; ImageFailure where it is no relative path or leads out of it, even by a link."""
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise bad_row(f"{one_line(repr(name), 80)} is not a file's name")
    if is_url(name) or name.startswith("//"):
        raise ImageFailure(
            FailureKind.MISSING_IMAGE, f"{one_line(name, 120)} is an address: nothing is fetched"
        )
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        raise bad_row(f"{one_line(name, 120)} leads outside the folder of pictures")
    try:
        path = root / name
        if not path.resolve().is_relative_to(root.resolve()):
            raise bad_row(f"{one_line(name, 120)} is a link that leads outside {root}")
        path.is_file()  # a name too long is an error of its own
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as e:  # a name too long, links in a circle, half a surrogate pair
        raise bad_row(f"{one_line(name, 120)} is not a file's name") from e
    return path


def base_name(name: object) -> str:
    """The file's own name at the end of a path or an address, without its query; ImageFailure where there is none.

    Label Studio's local files stand in the query: `/data/local-files/?d=folder/name.png`.
    """
    if not isinstance(name, str):
        raise bad_row(f"{one_line(repr(name), 80)} is not a file's name")
    path = name
    if "://" in name or "?" in name:
        try:
            parts = urlsplit(name)
        except ValueError as e:
            raise bad_row(f"{one_line(name, 120)} is not a file's name") from e
        path = unquote((parse_qs(parts.query).get("d") or [parts.path])[0])
    last = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if last in ("", ".", ".."):
        raise bad_row(f"{one_line(name, 120)} is not a file's name")
    return last


def existing(root: Path, names: Iterable[str]) -> Path:
    """The first of `names` that is a file below `root`; ImageFailure (missing_image) names the first where none is."""
    tried: list[str] = []
    for name in names:
        path = inside(root, name)
        if path.is_file():
            return path
        tried.append(name)
    raise ImageFailure(FailureKind.MISSING_IMAGE, f"no picture {one_line(tried[0], 120)} in {root}")


def other_extensions(name: str) -> Iterator[str]:
    """`name` with the usual extensions of pictures in place of its own."""
    stem = name.rpartition(".")[0] or name
    return (stem + extension for extension in (".png", ".jpg", ".jpeg", ".webp"))


def pictures(root: Path) -> Iterator[Path]:
    """Every picture below `root` by its extension, in the order of names; no link to a folder is followed."""
    known = extensions()
    for folder, folders, files in os.walk(root):
        folders.sort()
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in known:
                yield Path(folder, name)


def folder_of(path: Path, what: str) -> Path:
    """`path`, a folder; UserError where it is none."""
    if not path.is_dir():
        raise UserError(f"{path} is not a folder of {what}")
    return path


def listed(value: Any, what: str) -> list[Any]:
    """`value`, a list; ImageFailure where it is none."""
    if not isinstance(value, list):
        raise bad_row(f"{what} is not a list")
    return value


def table(value: Any, what: str) -> dict[str, Any]:
    """`value`, a JSON object; ImageFailure where it is none."""
    if not isinstance(value, dict):
        raise bad_row(f"{what} is not an object")
    return value
