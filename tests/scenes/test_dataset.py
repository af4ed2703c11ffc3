"""Folders of scenes: what the manifest says is what the files show."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest
from flawscribe.records import Sample
from scenes.command import scenes
from scenes.dataset import write_scenes


def _read(manifest: Path) -> list[Sample]:
    entries = list(read_manifest(manifest))
    assert all(isinstance(e, Sample) for e in entries)
    return entries  # type: ignore[return-value]


def test_manifest_reads_back_with_golden_data_and_masks(tmp_path: Path) -> None:
    samples = _read(write_scenes(tmp_path / "s", 40, seed=2, size=96))
    assert len({s.id for s in samples}) == 40
    sick = [s for s in samples if s.golden and s.golden.defective]
    assert 8 < len(sick) < 32
    for s in samples:
        assert s.golden is not None and s.prompt
        with Image.open(s.image) as image:
            assert image.size == (96, 96)
        if s.golden.defective:
            assert len(s.golden.descriptions) == 3
            assert s.golden.category
            assert s.golden.mask
            mask = np.asarray(Image.open(s.golden.mask))
            assert mask.any() and mask.shape == (96, 96)
            (defect,) = s.meta["defects"]
            assert defect["location"] in s.golden.descriptions[0]
        else:
            assert s.golden.mask is None and s.golden.descriptions == ()
    quality = {
        d: np.mean([s.golden.quality for s in samples if s.golden.defective is d]) for d in (True, False)
    }
    assert quality[True] < quality[False] - 1


def test_pairs_balance_every_prompt_and_every_picture(tmp_path: Path) -> None:
    samples = _read(write_scenes(tmp_path / "s", 6, seed=1, pairs=True))
    assert len(samples) == 36
    by_prompt, by_picture = defaultdict(list), defaultdict(list)
    for s in samples:
        pair = s.meta["pair"]
        by_prompt[pair, s.prompt].append(s.golden.defective)
        if s.meta["arm"] in ("AA", "AB", "BA", "BB"):
            by_picture[pair, Path(s.image).read_bytes()].append(s.golden.defective)
    assert all(sum(v) * 2 == len(v) for v in by_prompt.values())
    assert all(sum(v) * 2 == len(v) for v in by_picture.values())
    assert {s.meta["justified"] for s in samples} == {True, False}


def test_scene_does_not_depend_on_how_many_are_drawn(tmp_path: Path) -> None:
    few, many = (write_scenes(tmp_path / str(n), n, seed=9).parent for n in (3, 6))
    for i in range(3):
        assert (few / f"images/{i:06d}.png").read_bytes() == (many / f"images/{i:06d}.png").read_bytes()


def test_command_makes_a_folder_and_never_overwrites_one(tmp_path: Path) -> None:
    out = tmp_path / "s"
    result = CliRunner().invoke(scenes, ["4", "-o", str(out), "--seed", "1", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["scenes"] == 4
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(UserError, match="already there"):
        write_scenes(out, 9)
    assert (out / "manifest.jsonl").read_bytes() == before
