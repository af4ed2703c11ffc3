"""One raw row of a manifest, whatever file it came from, as a Sample or as the reason why it is none."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from flawscribe.images import picture_suffix
from flawscribe.picture_files import MAX_BYTES, ImageFailure, is_url
from flawscribe.records import Category, Failure, FailureKind, Golden, Sample

GOLDEN = ("defective", "descriptions", "description", "mask", "quality", "category")
FIELDS = frozenset(("id", "image", "prompt", "generator", *GOLDEN))
MAX_ID = 500
MAX_DEPTH = 20

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Source:
    """Where rows come from: the folder their paths start at, and where embedded pictures are to go."""

    folder: Path
    pictures: Path | None = None


class BadRow(Exception):
    """A row that is no sample; the message says which column is wrong and how."""


def failure(place: str, message: str) -> Failure:
    """The failure of a row at `place` ("FILE:LINE")."""
    return Failure(stage="samples", kind=FailureKind.BAD_ROW, message=f"{place}: {message}")


def sample_of(raw: dict[str, Any] | BadRow, place: str, source: Source) -> Sample | Failure:
    """The sample that a raw row is. Values may be typed (JSON, Parquet) or texts (CSV); None and "" are absent."""
    try:
        if isinstance(raw, BadRow):
            raise raw
        return _sample(raw, source)
    except BadRow as e:
        return failure(place, str(e))
    except ImageFailure as e:
        return Failure(stage="samples", kind=e.kind, message=f"{place}: {e}")


def _sample(raw: dict[str, Any], source: Source) -> Sample:
    row = {name: value for name, value in raw.items() if value is not None and not _absent(value)}
    if isinstance(row.get("golden"), dict):
        raise BadRow(f"golden is not nested: its fields ({', '.join(GOLDEN)}) are columns of their own")
    meta = {
        _checked(name, name): _kept(value, name)
        for name, value in row.items()
        if name not in FIELDS and not isinstance(value, bytes)
    }
    id = row.get("id")
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    image = _picture(row, "image", source)
    if image is None:
        raise BadRow("image is missing")
    return Sample(
        id=_id(id),
        image=image,
        prompt=_text(row, "prompt"),
        generator=_text(row, "generator"),
        golden=_golden(row, source),
        meta=meta,
    )


def _absent(value: Any) -> bool:
    """None, an empty text, or NaN: pandas' "missing" in Parquet (JSON lines that say NaN are refused earlier)."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _id(id: Any) -> str:
    if id is None:
        raise BadRow("id is missing")
    if not isinstance(id, str):
        raise BadRow(f"id is {_told(id)}, not a text")
    _checked(id, "id")
    if len(id) > MAX_ID:
        raise BadRow(f"id has {len(id)} characters; the limit is {MAX_ID}")
    return id


def _golden(row: dict[str, Any], source: Source) -> Golden | None:
    if not any(name in row for name in GOLDEN):
        return None
    descriptions = _texts(row)
    description = _text(row, "description")
    mask = _picture(row, "mask", source)
    defective = boolean(row, "defective")
    if defective is None:
        if not (descriptions or description or mask):
            raise BadRow("defective is missing (quality and category alone do not tell it)")
        defective = True
    category = _text(row, "category")
    if category is not None and category not in get_args(Category):
        raise BadRow(f"category is {_told(category)}, not one of {', '.join(get_args(Category))}")
    return Golden(
        defective=defective,
        descriptions=descriptions,
        description=description,
        mask=mask,
        quality=_quality(row),
        category=category,
    )


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRow(f"{name} is {_told(value)}, not a text")
    return _checked(value, name)


def _texts(row: dict[str, Any]) -> tuple[str, ...]:
    """`descriptions`: a list of texts, or one text, or (in CSV) a list written as JSON."""
    value = row.get("descriptions")
    if isinstance(value, str):
        listed = value
        value = [value]
        if listed.lstrip().startswith("["):
            try:
                value = json.loads(listed)
            except (ValueError, RecursionError):
                value = [listed]
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(v, str | None) for v in value):
        raise BadRow(f"descriptions is {_told(value)}, not a list of texts")
    return tuple(_checked(v, "descriptions") for v in value if not _absent(v))


def boolean(row: Mapping[str, Any], name: str) -> bool | None:
    """The column's true or false, as any kind of table has it, None where it is absent; BadRow for anything else."""
    value = row.get(name)
    if _absent(value):
        return None
    if isinstance(value, int | float) and value in (0, 1):  # 1.0 is what a column with gaps makes of true
        return bool(value)
    if isinstance(value, str):
        value = _BOOLEANS.get(value.strip().lower(), value)
    if value is not None and not isinstance(value, bool):
        raise BadRow(f"{name} is {_told(value)}, not true or false")
    return value


def _quality(row: dict[str, Any]) -> float | None:
    value = row.get("quality")
    if isinstance(value, str | Decimal):
        try:
            value = float(value)
        except ValueError:
            raise BadRow(f"quality is {_told(value)}, not a number") from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:
        raise BadRow(f"quality is {_told(value)}, not a number from 1 to 5")
    return float(value)


def _picture(row: dict[str, Any], name: str, source: Source) -> str | None:
    """The absolute path (or the URL) that a picture column means. A dataset's embedded picture becomes a file."""
    value = row.get(name)
    if isinstance(value, dict) and value.keys() <= {"bytes", "path"}:
        if isinstance(value.get("bytes"), bytes):
            return _stored(value["bytes"], name, source)
        value = value.get("path")
    elif isinstance(value, bytes):
        return _stored(value, name, source)
    if _absent(value):
        return None
    if not isinstance(value, str):
        raise BadRow(f"{name} is {_told(value)}, not a path")
    _checked(value, name)
    return value if is_url(value) else os.path.normpath(os.path.join(source.folder, value))


def _stored(content: bytes, name: str, source: Source) -> str:
    if source.pictures is None:
        raise BadRow(f"{name} is embedded in the dataset, and no folder is given to keep it in")
    if len(content) > MAX_BYTES:
        raise ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{name} has {len(content)} bytes")
    path = source.pictures / (hashlib.sha256(content).hexdigest()[:32] + picture_suffix(content))
    if not path.exists():
        source.pictures.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    return str(path.absolute())


def _kept(value: Any, name: str, depth: int = 0) -> Any:
    """A further column as JSON can keep it: dates and times as ISO 8601 text, decimals as floats, bytes left out.

    BadRow for NUL, lone surrogates, NaN, endless nesting and unknown types.
    """
    if isinstance(value, str):
        return _checked(value, name)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise BadRow(f"{_told(name)} is {value}: not a finite number")
        return float(value)
    if isinstance(value, dict | list | tuple):
        if depth >= MAX_DEPTH and value:
            raise BadRow(f"{_told(name)} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            items = value.items()
            return {
                _checked(k, name): _kept(v, name, depth + 1) for k, v in items if not isinstance(v, bytes)
            }
        return [_kept(v, name, depth + 1) for v in value if not isinstance(v, bytes)]
    if isinstance(value, date | time):
        return value.isoformat()
    raise BadRow(f"{_told(name)} is of the type {type(value).__name__}, which JSON does not have")


def _checked(text: str, name: str) -> str:
    """The text itself; BadRow for NUL and for lone surrogates."""
    if "\0" in text:
        raise BadRow(f"{_told(name)} contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadRow(f"{_told(name)} is not valid Unicode text") from None
    return text


def _told(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
