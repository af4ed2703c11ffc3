"""Reading, checking and rendering prompt files."""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from flawscribe.errors import UserError, did_you_mean

HERE = Path(__file__).parent
MAX_BYTES = 1_000_000
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SUFFIX = "_json"
# What chat templates and tokenizers write their tokens with (<image>, <|im_end|>, [INST]), and what Unicode
# normalisation turns into it; controls, line ends, half surrogate pairs; marks that reorder text, and unseen tags.
_NOT_PLAIN = re.compile(
    r"[<>\[\uff1c\uff1e\uff3b\ufe64\ufe65\x7f-\x9f\u2028\u2029\ud800-\udfff"
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Prompt(BaseModel):
    """One prompt file: `parts` maps a part's name (system, user, …) to its template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: Annotated[int, Field(strict=True, ge=1)]
    purpose: Text
    variables: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")], ...] = ()
    parts: dict[str, Text]

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over everything a model can see of this file: part of a row's key."""
        seen = json.dumps([self.name, self.version, self.parts], sort_keys=True)
        return hashlib.sha256(seen.encode()).hexdigest()[:16]

    def render(self, part: str, **values: str) -> str:
        """The text of `part` with its placeholders filled, in one pass: braces inside values stay.

        Values that the part does not use are ignored; UserError names a part or a value that is missing.
        """
        if part not in self.parts:
            raise UserError(f"prompt {self.name!r} has no part {part!r}.{did_you_mean(part, self.parts)}")

        pieces = list(_pieces(self.parts[part]))
        for i in range(1, len(pieces), 2):  # texts and placeholders by turns
            variable, as_json = _variable(pieces[i], self.variables)
            if variable not in values:
                raise UserError(f"prompt {self.name!r}, part {part!r} needs a value for {variable!r}")
            pieces[i] = quote(values[variable]) if as_json else values[variable]
        return "".join(pieces)


@cache
def _pieces(template: str) -> tuple[str, ...]:
    return tuple(_PLACEHOLDER.split(template))


def quote(text: str) -> str:
    r"""`text` as one JSON string on one line, for data inside a prompt.

    `<`, `>` and `[` become `\u003c` and so on, so that no chat-template token (`<image>`, `<|im_end|>`, `[INST]`)
    arises from data; what normalises to them, marks that reorder or hide text, lone surrogates and line separators
    are escaped too. Other letters stay readable.
    """
    return _NOT_PLAIN.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


@cache
def names() -> tuple[str, ...]:
    """The names of the prompts that ship with the project."""
    return tuple(sorted(path.stem for path in HERE.glob("*.yaml")))


def load(name: str, folder: str | Path | None = None) -> Prompt:
    """The prompt `name`: `folder/name.yaml` where the user has one, else ours.

    A user's file needs the parts that ours has and may use only the variables that ours declares.
    UserError tells what is wrong with which file.
    """
    if name not in names():
        raise UserError(f"there is no prompt {name!r}.{did_you_mean(name, names())}")
    ours = _read(HERE / f"{name}.yaml", name)
    if folder is None:
        return ours
    if not Path(folder).is_dir():
        raise UserError(f"{folder} is not a folder of prompts")
    _check_names(Path(folder))
    path = Path(folder) / f"{name}.yaml"
    if not path.exists():
        return ours
    theirs = _read(path, name)
    if missing := sorted(ours.parts.keys() - theirs.parts.keys()):
        raise UserError(f"{path}: part {missing[0]!r} is missing (needed: {', '.join(ours.parts)})")
    for variable in theirs.variables:
        if variable not in ours.variables:
            raise UserError(f"{path}: nothing provides {variable!r}.{did_you_mean(variable, ours.variables)}")
    return theirs


def _check_names(folder: Path) -> None:
    """Refuse a folder without prompt files, and a file that replaces nothing: its text would go unused."""
    files = sorted(folder.glob("*.y*ml"))
    for path in files:
        if path.suffix != ".yaml" or path.stem not in names():
            raise UserError(f"{path} replaces no prompt.{did_you_mean(path.stem, names())} (NAME.yaml)")
    if not files:
        raise UserError(
            f"{folder} holds no prompt file: name one {' or '.join(f'{n}.yaml' for n in names())}"
        )


def _read(path: Path, name: str) -> Prompt:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large for a prompt (over {MAX_BYTES:,} bytes)")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    except (yaml.YAMLError, RecursionError) as e:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(e).split())[:200]}") from e
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold version, purpose, variables and parts")
    try:
        prompt = Prompt(**{**{str(k): v for k, v in data.items()}, "name": name})
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {where}: {first['msg']}") from e
    _check_variables(prompt, path)
    return prompt


def _check_variables(prompt: Prompt, path: Path) -> None:
    """Refuse a placeholder that is not declared, and a declared variable that no part uses."""
    used = set()
    for part, template in prompt.parts.items():
        for word in _PLACEHOLDER.findall(template):
            variable, _ = _variable(word, prompt.variables)
            if variable not in prompt.variables:
                raise UserError(f"{path}: part {part!r} uses {{{word}}}, which is not among its variables")
            used.add(variable)
    if unused := [variable for variable in prompt.variables if variable not in used]:
        raise UserError(f"{path}: variable {unused[0]!r} is declared but no part uses it")


def _variable(word: str, declared: tuple[str, ...]) -> tuple[str, bool]:
    """The variable that a placeholder's word names, and whether its JSON form is meant."""
    if word not in declared and word.endswith(_SUFFIX):
        return word.removesuffix(_SUFFIX), True
    return word, False
