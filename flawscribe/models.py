"""Names of models: where their weights are, and what identifies them."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from flawscribe.errors import SetupError, UserError, did_you_mean, one_line
from flawscribe.presets import presets

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w][\w./-]*)?")
_CONTENT = (".safetensors", ".json", ".jinja", ".model", ".txt")


@dataclass(frozen=True)
class ModelRef:
    """A model by name: `path` is a local directory or a hub id, `revision` identifies its content.

    For a directory the revision is a digest of its files; for a hub id it is "main" unless given
    (`org/name@revision`); a model that only its server knows has what its maker says.
    """

    name: str
    path: str
    revision: str
    kind: Literal["packaged", "directory", "hub", "served"]

    @property
    def served_name(self) -> str:
        """The name under which a server offers the model."""
        return self.name


def _weights(name: str) -> Path:
    return Path(__file__).parents[1] / "nano" / "weights" / name


def nano_head_path() -> Path:
    """The folder of nano's mask head; SetupError where the weights are not there."""
    return _present(_weights("head"))


def _present(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise SetupError(f"the packaged weights are missing ({folder}): install flawscribe again")
    return folder


PACKAGED: dict[str, tuple[Path, str]] = {
    "nano": (_weights("vlm"), "5 M parameters, trained on drawn scenes alone: for trying the job out"),
}


def resolve_model(name: str) -> ModelRef:
    """What `name` stands for: a packaged model, a preset, a directory with a checkpoint, or a hub id.

    A hub id is `org/name[@revision]`; a preset is its hub id, so that rows are the same under either name. Nothing
    is fetched. Raises UserError for any other name, SetupError for missing packaged weights.
    """
    if name in PACKAGED:
        path = _present(PACKAGED[name][0])
        return ModelRef(name, str(path), directory_digest(path), "packaged")
    if (preset := presets().get(name)) is not None and preset.hub_id is not None:
        if preset.revision == "main":
            return ModelRef(preset.hub_id, preset.hub_id, "main", "hub")
        return ModelRef(f"{preset.hub_id}@{preset.revision}", preset.hub_id, preset.revision, "hub")
    try:
        folder = Path(name).expanduser()
        is_folder = bool(name) and folder.is_dir()
    except (OSError, RuntimeError, ValueError) as e:  # no such user after "~", a name too long for a path
        raise UserError(f"no model {one_line(name, 80)!r}: {one_line(e, 120)}") from e
    if is_folder:
        if not (folder / "config.json").is_file():
            raise UserError(f"{name} holds no model (it has no config.json)")
        return ModelRef(folder.resolve().name, str(folder.resolve()), directory_digest(folder), "directory")
    if _HUB_ID.fullmatch(name):
        hub_id, _, revision = name.partition("@")
        return ModelRef(name, hub_id, revision or "main", "hub")
    hint = did_you_mean(name.lower(), presets())
    raise UserError(
        f"no model {name!r}.{hint} Or give a directory with a checkpoint, or a hub id org/name; "
        "a name that a server offers goes with describe's and run's --base-url or --engine openai"
    )


def directory_digest(folder: Path) -> str:
    """The first 16 hex digits of SHA-256 over the names and contents of a checkpoint's files."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _CONTENT]
    return _digest(tuple((path, (info := path.stat()).st_size, info.st_mtime_ns) for path in files))


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The digest of files that are as they were: weights may have many gigabytes, and are asked for more than once."""
    total = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as f:
            content = hashlib.file_digest(f, "sha256").hexdigest()
        total.update(f"{path.name}:{content}\n".encode())
    return total.hexdigest()[:16]
