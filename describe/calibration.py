"""A calibration: the temperature and the threshold for one model asked in one way, and the file that holds them."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from describe.thresholds import MOST
from flawscribe.errors import UserError, one_line
from flawscribe.records import Record
from flawscribe.reliability import EPSILON
from flawscribe.runs import write_atomically

COOLEST, HOTTEST = 0.1, 100.0
"""Temperatures that are tried: beyond them nothing but the data's being too few, or P's saying nothing, changes."""
MAX_BYTES = 50_000_000
_APART = ("max_tokens", "seed", "calibration")
"""Settings of the describe stage that leave P(defective) what it is."""

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Calibration(Record):
    """What `flawscribe calibrate` fits.

    Calibrated P = 1 / (1 + exp(-logit(P) / `temperature`)); an image is defective where that is at or above
    `threshold`. `fitted_for` are the describe stage's settings (model, revision, protocol, prompt digest, …) under
    which the model gave P. `labels` is a digest of the n labelled images that it was fitted on, `images` one of each
    picture's bytes. `by`, `n_defective`, `figures` and `date` say how it came about.
    """

    schema_version: Literal[1] = Field(alias="schema")
    fitted_for: dict[str, Any]
    temperature: float = Field(ge=COOLEST, le=HOTTEST, allow_inf_nan=False, strict=True)
    threshold: float = Field(ge=0, le=1, allow_inf_nan=False, strict=True)
    by: str = Field(max_length=MOST)
    n: int = Field(ge=2, strict=True)
    n_defective: int = Field(ge=1, strict=True)
    labels: Hex
    images: tuple[Hex, ...]
    figures: dict[str, Any]
    date: str = Field(max_length=40)
    flawscribe: str = Field(max_length=40)

    def probability(self, raw: float) -> float:
        """The calibrated probability for the model's own; both in [0, 1]."""
        return scaled(raw, self.temperature)

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the whole content, whatever its layout in the file."""
        text = json.dumps(self.model_dump(by_alias=True, mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """What stands among the describe stage's settings, and so in the keys of its rows."""
        return {
            "digest": self.digest,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "by": self.by,
        }


def scaled(p: float, temperature: float) -> float:
    """sigmoid(logit(p) / temperature), p kept EPSILON from 0 and 1 (temperature scaling: Guo et al. 2017, ICML)."""
    kept = min(max(p, EPSILON), 1 - EPSILON)
    return 1 / (1 + math.exp(-math.log(kept / (1 - kept)) / temperature))


def about_p(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the describe stage's settings that make P(defective) what it is."""
    return {name: value for name, value in settings.items() if name not in _APART}


def check_free(path: Path, force: bool) -> None:
    """UserError where a calibration cannot be written to `path`: a file is there (unless `force`), or no folder."""
    if path.exists() and not force:
        raise UserError(f"{path} is there already: give another file with -o, or --force")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} to")


def write(calibration: Calibration, path: Path, force: bool = False) -> None:
    """Write the file; UserError where one is there already, unless `force`."""
    check_free(path, force)
    write_atomically(path, calibration.model_dump_json(by_alias=True, indent=1) + "\n")


def read(file: str | Path) -> Calibration:
    """The calibration in a file; UserError where it holds none."""
    path = Path(file)
    if not path.is_file():
        raise UserError(f"cannot read {path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large for a calibration (over {MAX_BYTES:,} bytes)")
        found = Calibration.model_validate(json.loads(path.read_bytes()))
        _ = found.digest  # ValueError for what is nested too deeply
        return found
    except ValidationError as e:
        first = e.errors()[0]
        told = ": ".join([".".join(str(part) for part in first["loc"]) or "the file", first["msg"]])
        raise UserError(f"{path} is no calibration ({one_line(told, 160)})") from e
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(
            f"{path} is no calibration ({one_line(getattr(e, 'strerror', None) or e, 160)})"
        ) from e


def check(calibration: Calibration, settings: Mapping[str, Any], file: str | Path) -> None:
    """UserError where it was fitted for P(defective) of another model, or of the same one asked otherwise."""
    theirs, ours = json.loads(json.dumps(calibration.fitted_for)), json.loads(json.dumps(about_p(settings)))
    for name in [*ours, *sorted(theirs.keys() - ours.keys())]:
        if theirs.get(name) != ours.get(name):
            raise UserError(
                f"{file} was fitted for another {one_line(name, 40)}: {one_line(repr(theirs.get(name)), 120)}, "
                f"and this is {one_line(repr(ours.get(name)), 120)}: calibrate a run described in this way"
            )
