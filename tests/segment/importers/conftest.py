"""The command `import` on files that a test makes, and what it has written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flawscribe.manifest import read_manifest
from flawscribe.records import Row, Sample
from segment.importers.command import import_command


@dataclass
class Done:
    """What a call of the command left behind."""

    code: int
    out: str
    folder: Path
    error: BaseException | None

    @property
    def samples(self) -> dict[str, Sample]:
        """The manifest as every verb reads it; no row of it may be a failure."""
        entries = list(read_manifest(self.folder / "manifest.jsonl"))
        assert all(isinstance(entry, Sample) for entry in entries), entries
        return {entry.id: entry for entry in entries if isinstance(entry, Sample)}

    @property
    def failures(self) -> dict[str, tuple[str, str]]:
        """(kind, message) by place."""
        path = self.folder / "failures.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [Row.model_validate_json(line) for line in lines]
        return {row.id: (row.failure.kind, row.failure.message) for row in rows if row.failure}

    def mask(self, id: str) -> np.ndarray | None:
        """The bool mask of a row, which has its picture's size."""
        sample = self.samples[id]
        if sample.golden is None or sample.golden.mask is None:
            return None
        mask = np.asarray(Image.open(sample.golden.mask))
        assert mask.dtype == bool and mask.shape[::-1] == Image.open(sample.image).size
        return mask


Importing = Callable[..., Done]


@pytest.fixture
def importing(tmp_path: Path) -> Importing:
    """`importing(FORMAT, SOURCE, OPTION, …)` into the folder `data`."""

    def run(*args: Any) -> Done:
        folder = tmp_path / "data"
        done = CliRunner().invoke(import_command, [*map(str, args), "-o", str(folder)])
        if done.exception and not isinstance(done.exception, SystemExit):
            return Done(2, done.output, folder, done.exception)
        return Done(done.exit_code, done.output, folder, None)

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """`picture(PATH, (width, height))` makes a picture below the test's folder."""

    def make(name: str, size: tuple[int, int] = (40, 30)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        return path

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(PATH, content)` makes a JSON file below the test's folder."""

    def make(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make
