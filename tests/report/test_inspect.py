"""`flawscribe.inspect` on the packaged model."""

from pathlib import Path

import pytest
from PIL import Image

import flawscribe
from flawscribe.errors import UserError
from flawscribe.records import FailureKind
from report.pipeline import Inspection

pytest.importorskip("torch")


def test_inspect_a_path_and_a_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (50, 40), (200, 180, 90))
    picture.save(tmp_path / "picture.png")
    found = flawscribe.inspect(tmp_path / "picture.png", prompt="a wall", engine="transformers")
    assert isinstance(found, Inspection)
    assert (found.sample.id, found.sample.prompt) == ("picture.png", "a wall")
    assert found.mask is not None and found.mask.p_mask is not None
    assert (found.description is None) == bool(found.failures)
    if found.mask.rle is not None:
        assert found.mask.rle.size == (40, 50)
    same = flawscribe.inspect(picture, prompt="a wall", engine="transformers")
    assert same.mask == found.mask and same.description == found.description


def test_inspect_a_missing_picture_and_a_wrong_model(tmp_path: Path) -> None:
    found = flawscribe.inspect(tmp_path / "gone.png", engine="transformers")
    assert found.description is None and found.mask is None
    assert {f.kind for f in found.failures} == {FailureKind.MISSING_IMAGE}
    with pytest.raises(UserError, match="nanno"):
        flawscribe.inspect(tmp_path / "gone.png", model="nanno", engine="transformers")
