"""Annotation files with any part swapped for something nasty: rows fail, or the file does, in their own typed way."""

import copy
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_import_coco import H, W, compressed, counts, document
from test_import_label_studio import THEIRS
from test_import_published import HAND, LEGLESS, entry, hadm, ref

from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest
from flawscribe.records import Sample
from segment.importers.command import import_command

EXAMPLES = 80
NASTY: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        10**400,
        1e308,
        float("nan"),
        float("-inf"),
        "",
        "\0",
        "\ud800",
        "../a.png",
        "/",
        ".",
    ),
    *(
        "a.png",
        "x" * 5000,
        "file:///etc/passwd",
        "https://x.org/a.png",
        [],
        {},
        [[]],
        [{}],
        [None],
        ["a.png"],
    ),
    *({"size": [H, W], "counts": [0, 1200]}, {"size": None}, [[0, 0, 1, 1, 2]], [10**9] * 6),
]
MASK = np.zeros((H, W), bool)
MASK[3:9, 4:20] = True


def brushed(name: str) -> dict[str, Any]:
    region = {"type": "brushlabels", "original_width": 9, "original_height": 6, "image_rotation": 0}
    region["value"] = {"format": "rle", "rle": THEIRS, "brushlabels": ["x"]}
    return {
        "id": 1,
        "data": {"image": name},
        "annotations": [{"id": 2, "completed_by": {"id": 3}, "result": [region]}],
    }


GOOD: dict[str, tuple[str, Any]] = {
    "coco": (
        "c.json",
        document(
            [[1, 1, 9, 1, 9, 9]],
            {"size": [H, W], "counts": counts(MASK)},
            {"size": [H, W], "counts": compressed(MASK)},
        ),
    ),
    "label-studio": ("c.json", [brushed("small.png")]),
    "synthscars": ("c.json", [{"1": entry("a.png", ref([1.0, 1.0, 9.0, 1.0, 9.0, 9.0]))}]),
    "hadm": ("annotations/s/a.json", hadm([HAND], [LEGLESS], (W, H))),
    "agidefect": (
        "set.json",
        [{"id": "1", "image": "a.png", "mask": ["m.png"], "defective": True, "quality": 2}],
    ),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every part of a JSON value is."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def swapped(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another part at that place."""
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


@pytest.mark.slow
@pytest.mark.parametrize("format", GOOD)
def test_any_part_may_be_nasty(format: str) -> None:
    name, good = GOOD[format]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "source"
        (root / name).parent.mkdir(parents=True)
        for i, folder in enumerate((".", "images", "images/s")):
            (root / folder).mkdir(exist_ok=True)
            for picture in ("a.png", "b.png", "c.png")[: 3 if i == 0 else 1]:
                Image.new("RGB", (W, H)).save(root / folder / picture)
        Image.new("RGB", (9, 6)).save(root / "small.png")
        Image.fromarray(MASK).save(root / "m.png")
        source = root if format == "hadm" else root / name
        options = ["--boxes-as-masks"] if format in ("coco", "hadm") else []

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(list(places(good))), st.sampled_from(NASTY))
        def check(path: tuple[Any, ...], new: Any) -> None:
            (root / name).write_text(json.dumps(swapped(good, path, new)))
            out = Path(scratch) / "data"
            done = CliRunner().invoke(import_command, [format, str(source), "-o", str(out), *options])
            assert isinstance(done.exception, UserError | SystemExit | None), done.exception
            assert len(list(Path(scratch).iterdir())) == 1 + out.exists()
            if out.exists():
                entries = list(read_manifest(out / "manifest.jsonl"))
                assert entries and all(isinstance(entry, Sample) for entry in entries)
                shutil.rmtree(out)

        check()
