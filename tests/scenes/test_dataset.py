"""Folders of scenes: what the manifest says is what the files show."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

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
            union = np.zeros((96, 96), dtype=bool)
            for defect in s.meta["defects"]:
                assert all(defect["location"] in text for text in s.golden.descriptions)
                one = np.asarray(Image.open(tmp_path / "s" / defect["mask"]))
                assert one.mean() == pytest.approx(defect["area"], abs=1e-4)
                union |= one
            assert (union == mask).all()
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


def test_prompts_do_not_tell_the_answer(tmp_path: Path) -> None:
    """Words alone, cross-validated by pair, are at chance."""
    samples = _read(write_scenes(tmp_path / "s", 150, seed=4, size=64, pairs=True))
    texts, labels = [s.prompt or "" for s in samples], [s.golden.defective for s in samples if s.golden]
    reader = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    guesses = cross_val_predict(
        reader,
        texts,
        labels,
        groups=[s.meta["pair"] for s in samples],
        cv=GroupKFold(5),
        method="predict_proba",
    )
    assert roc_auc_score(labels, guesses[:, 1]) <= 0.55


def test_sizes_parts_and_shifts(tmp_path: Path) -> None:
    samples = _read(write_scenes(tmp_path / "s", 12, seed=2, size=(96, 512), shift="smaller", parts=True))
    sizes = set()
    for s in samples:
        with Image.open(s.image) as image, Image.open(tmp_path / "s" / "parts" / f"{s.id}.png") as parts:
            assert image.size == parts.size
            sizes.add(image.width)
            assert s.meta["size"] == image.width
            assert s.meta["shift"] == "smaller"
            values = np.unique(np.asarray(parts))
            assert values.max() < len(s.meta["parts"])
    assert len(sizes) > 4 and min(sizes) >= 96 and max(sizes) <= 512


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
    for wrong in ("12", "96-40", "big", "96-9999", "96-", "1_28", "64-96-128"):
        result = CliRunner().invoke(scenes, ["4", "-o", str(tmp_path / "t"), "--size", wrong])
        assert result.exit_code == 2 and wrong in result.output
    with pytest.raises(UserError, match="not empty"):
        write_scenes(out, 9)
    assert (out / "manifest.jsonl").read_bytes() == before


def test_a_folder_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        write_scenes(tmp_path / "mine", 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("scenes.dataset.write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt, match="nothing is kept"):
            write_scenes(tmp_path / "new", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert write_scenes(tmp_path / "empty", 1).exists()
    with pytest.raises(UserError, match="cannot name"):
        write_scenes(tmp_path / "bad\udcff", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_scenes(tmp_path / "file", 1)
