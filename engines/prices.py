"""A user's prices: what a model's tokens cost, or the hours of one's own GPUs. None ship with flawscribe: they age."""

import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from engines.account import Account
from flawscribe.errors import UserError, did_you_mean, one_line
from flawscribe.records import Usage

MAX_BYTES, MAX_DEPTH = 100_000, 20  # YAML takes its time: seconds for so much
_MILLION = 1_000_000
_Money = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
_Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenPrice(_Entry):
    """Prices per million tokens; `batch_discount` is the part of them that a batch saves (0.5: half)."""

    input: _Money
    output: _Money
    cached_input: _Money | None = None
    batch_discount: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 0.0

    def cost(self, account: Account) -> float:
        """Of an account, in the file's currency."""
        whole, batch = self._of(account.total), self._of(account.batch)
        return whole - batch * self.batch_discount

    def _of(self, usage: Usage) -> float:
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (
            fresh * self.input + usage.cached_tokens * cached + usage.completion_tokens * self.output
        ) / _MILLION


class GpuPrice(_Entry):
    """The price of a GPU's hour, and the images that one such GPU describes in a second."""

    gpu_hour: _Money
    images_per_second: Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]

    def cost(self, account: Account) -> float:
        """Of one image a row, whatever their tokens."""
        return account.rows / self.images_per_second / 3600 * self.gpu_hour


class _File(_Entry):
    currency: _Label
    models: dict[str, dict[str, Any]]


class Price:
    """One model's price: `cost(account)` in `currency`, from the file called `source`."""

    def __init__(self, entry: TokenPrice | GpuPrice, currency: str, source: str) -> None:
        self.cost = entry.cost
        self.by_tokens = isinstance(entry, TokenPrice)
        self.currency, self.source = currency, source

    def facts(self, account: Account) -> dict[str, Any]:
        """What `run.json` holds of it."""
        return {
            "cost": round(self.cost(account), 9),
            "currency": self.currency,
            "prices": self.source,
        }


def price_of(file: str | Path, model: str) -> Price:
    """The model's price from a YAML or JSON file; UserError says what is wrong there, or that the model is missing."""
    path = Path(file)
    found = _checked(_File, _read(path), path, "")
    if model not in found.models:
        raise UserError(f"{path} has no price for {model!r}.{did_you_mean(model, found.models)}")
    entry = found.models[model]
    kind = GpuPrice if "gpu_hour" in entry else TokenPrice
    return Price(
        _checked(kind, entry, path, f"models.{one_line(model, 80)}."), one_line(found.currency), path.name
    )


def _checked(kind: Any, data: Any, path: Path, at: str) -> Any:
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold currency and models")
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        where = one_line(at + ".".join(str(part) for part in first["loc"]), 120)
        raise UserError(f"{path}: {where}: {one_line(first['msg'])}") from e


def _read(path: Path) -> Any:
    try:
        if not path.is_file():
            raise UserError(
                f"cannot read {path}: {'not a regular file' if path.exists() else 'no such file'}"
            )
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large for a list of prices (over {MAX_BYTES:,} bytes)")
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text)
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{path}: write prices out: YAML's aliases (*name) are not read")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UserError(f"{path} is no list of prices: it is nested too deeply")
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise UserError(f"{path} is neither YAML nor JSON: {one_line(e, 200)}") from e
