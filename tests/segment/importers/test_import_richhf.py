"""RichHF-18K: examples in exactly its fields, pictures by name, heatmaps kept and thresholded, none scaled unasked."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_tfrecord import record, serialised

pytest.importorskip("google_crc32c")
UID = "ef11643f-a1d7-4dd3-8ecd-7bdf736b7464"


def encoded(values: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def bump() -> np.ndarray:
    """A heatmap, 512 x 512, from 0 to 255, with its middle at x = 300, y = 100."""
    y, x = np.mgrid[:512, :512]
    return np.rint(255 * np.exp(-((x - 300) ** 2 + (y - 100) ** 2) / 5000))


def features(**change: Any) -> dict[str, Any]:
    return {
        "filename": [f"train/{UID}.png".encode()],
        "aesthetics_score": [0.75],
        "artifact_score": [0.5],
        "misalignment_score": [1.0],
        "overall_score": [0.25],
        "artifact_map": [encoded(bump())],
        "misalignment_map": [encoded(np.zeros((512, 512)))],
        "prompt_misalignment_label": [b"1 1 0 1"],
    } | change


def tfrecord(tmp_path: Path, *examples: dict[str, Any], name: str = "train.tfrecord") -> Path:
    path = tmp_path / "richhf-18k" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(record(serialised(e)) for e in examples))
    return path


def test_an_example_as_published(importing, picture, tmp_path) -> None:
    picture(f"pickapic/{UID}.jpg", (512, 512))
    file = tfrecord(tmp_path, features())
    done = importing("richhf", file.parent, "--images", tmp_path / "pickapic")
    assert done.code == 0, done.out
    id = f"train/{UID}.png"
    assert (done.mask(id) == (bump() / 255 >= 0.5)).all()
    sample = done.samples[id]
    assert sample.golden.defective and sample.golden.quality is None
    assert sample.meta["artifact_score"] == 0.5 and sample.meta["split"] == "train"
    assert sample.meta["prompt_misalignment_label"] == "1 1 0 1"
    with np.load(done.folder / sample.meta["heatmap"], allow_pickle=False) as kept:
        assert kept["heatmap"].dtype == np.float32
        assert np.abs(kept["heatmap"] - bump() / 255).max() < 1e-6
    assert (done.folder / sample.meta["misalignment_heatmap"]).is_file()


def test_the_threshold(importing, picture, tmp_path) -> None:
    picture(f"pickapic/train/{UID}.png", (512, 512))
    low = encoded(np.full((512, 512), 40))
    file = tfrecord(tmp_path, features(artifact_map=[low]))
    args = ("richhf", file, "--images", tmp_path / "pickapic", "--force")
    assert importing(*args).samples[f"train/{UID}.png"].golden.defective is False
    assert importing(*args, "--heatmap-threshold", "0.1").mask(f"train/{UID}.png").all()


def test_a_heatmap_of_another_size_is_scaled_only_when_asked(importing, picture, tmp_path) -> None:
    picture(f"pickapic/{UID}.png", (768, 768))
    picture("pickapic/wide.png", (800, 600))
    picture("pickapic/fits.png", (512, 512))
    wide, fits = features(filename=[b"train/wide.png"]), features(filename=[b"train/fits.png"])
    args = ("richhf", tfrecord(tmp_path, features(), wide, fits), "--images", tmp_path / "pickapic")
    done = importing(*args)
    assert done.code == 1 and list(done.samples) == ["train/fits.png"]
    assert "--scale-heatmaps" in done.failures["train.tfrecord:1"][1]
    done = importing(*args, "--scale-heatmaps", "--force")
    assert "another shape" in done.failures["train.tfrecord:2"][1]
    mask = done.mask(f"train/{UID}.png")
    y, x = np.nonzero(mask)
    assert abs(x.mean() - 450) < 1 and abs(y.mean() - 150) < 1
    assert abs(mask.mean() / (bump() / 255 >= 0.5).mean() - 1) < 0.02


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"filename": [b"train/gone.png"]}, "missing_image", "gone.png"),
        ({"filename": [b"../../secret.png"]}, "bad_row", "outside"),
        ({"filename": [b"\xff\xfe"]}, "missing_image", "no picture"),
        ({"filename": [3]}, "bad_row", "no filename"),
        ({"artifact_map": [b"no picture"]}, "bad_mask", "artifact_map"),
        ({"artifact_map": [encoded(np.full((512, 512, 3), (1, 2, 3)))]}, "bad_mask", "8-bit grey"),
        ({"overall_score": [b"x"]}, "bad_row", "overall_score"),
        ({"overall_score": [float("nan")]}, "bad_row", "overall_score"),
    ],
)
def test_broken_examples(change: dict[str, Any], kind: str, told: str, importing, picture, tmp_path) -> None:
    picture("secret.png", (512, 512))
    picture(f"pickapic/{UID}.png", (512, 512))
    file = tfrecord(tmp_path, features(**change), features())
    done = importing("richhf", file, "--images", tmp_path / "pickapic")
    assert done.code == 1 and list(done.samples) == [f"train/{UID}.png"]
    assert done.failures["train.tfrecord:1"][0] == kind and told in done.failures["train.tfrecord:1"][1]


def test_a_missing_feature_and_a_damaged_record_fail_alone(importing, picture, tmp_path) -> None:
    picture(f"pickapic/{UID}.png", (512, 512))
    lacking = features()
    del lacking["misalignment_map"]
    file = tfrecord(tmp_path, lacking, features())
    file.write_bytes(file.read_bytes() + record(b"\x0a\xff no example") + b"torn")
    done = importing("richhf", file, "--images", tmp_path / "pickapic")
    assert done.code == 1 and len(done.samples) == 1
    assert [kind for kind, _ in done.failures.values()] == ["bad_row"] * 3


def test_pictures_must_be_somewhere(importing, tmp_path) -> None:
    assert "--images" in str(importing("richhf", tfrecord(tmp_path, features())).error)
