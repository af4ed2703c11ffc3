"""The head's path from a picture of any size to a mask of that size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from flawscribe.errors import SetupError
from flawscribe.models import nano_head_path
from nano.build import new_head
from segment.checkpoint import load_head, save_head
from segment.encoders import frame, unframe
from segment.head import DefectHead
from segment.marking import Marking
from segment.predict import predict
from segment.rle import decode, union


@pytest.fixture(scope="module")
def head() -> DefectHead:
    torch.manual_seed(0)
    return new_head().eval()


def _marking_everything(head: DefectHead) -> DefectHead:
    with torch.no_grad():
        head.presence[-1].bias.fill_(20.0)
    return head


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (64, 1000), (1, 1), (3, 900)])
def test_masks_have_the_pictures_own_size(head: DefectHead, size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))
    (answer,) = predict(_marking_everything(head), [image])
    assert answer.p_mask == pytest.approx(1)
    if answer.rle is not None:
        assert answer.rle.size == (size[1], size[0])
        assert decode(answer.rle).mean() == pytest.approx(answer.area)


def test_frame_and_back_keeps_places(head: DefectHead) -> None:
    """A blob in the lower right of a wide picture comes back there, untouched by the frame's padding."""
    image = Image.new("RGB", (256, 128))
    framed, taken = frame(image, head)
    assert framed.shape == (3, 128, 128)
    assert taken == (64, 128)
    assert not framed[:, 64:].any()
    logits = torch.full((32, 32), -5.0)
    logits[12:16, 24:32] = 5.0
    mask = unframe(logits, taken, (128, 256)).numpy() > 0
    ys, xs = np.nonzero(mask)
    assert 90 <= ys.min() <= 100 and ys.max() == 127
    assert 184 <= xs.min() <= 200 and xs.max() == 255


def test_answers_do_not_depend_on_the_batch(head: DefectHead) -> None:
    rng = np.random.default_rng(1)
    images = [Image.fromarray(rng.integers(0, 255, (90, 120, 3), np.uint8)) for _ in range(5)]
    together = predict(head, images)
    alone = [predict(head, [i])[0] for i in images]
    for a, b in zip(together, alone, strict=True):
        assert a.p_mask == pytest.approx(b.p_mask, abs=1e-4)
        assert a.quality == pytest.approx(b.quality, abs=1e-3)


def test_saved_head_answers_the_same(head: DefectHead, tmp_path: Path) -> None:
    save_head(head, tmp_path)
    again = load_head(tmp_path)
    image = Image.new("RGB", (100, 80), (200, 30, 30))
    a, b = predict(head, [image])[0], predict(again, [image])[0]
    assert a.p_mask == pytest.approx(b.p_mask, abs=1e-2)


def test_folder_without_a_head_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds no defect head"):
        load_head(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "something else"}')
    with pytest.raises(SetupError, match="holds no defect head"):
        load_head(tmp_path)


def blobs(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def nano() -> DefectHead:
    return load_head(nano_head_path())


def test_masks_are_the_enlarged_logits_above_the_threshold(nano: DefectHead) -> None:
    image = blobs(300, 210)
    framed, taken = frame(image, nano)
    with torch.no_grad():
        out = nano(framed[None])
    logits = interpolate(out.mask[None], size=(nano.side, nano.side), mode="bilinear", align_corners=False)
    inner = logits[..., : taken[0], : taken[1]]
    whole = interpolate(inner, size=(210, 300), mode="bilinear", align_corners=False)[0, 0].sigmoid().numpy()
    for threshold in (0.02, 0.3, 0.9):
        (answer,) = predict(nano, [image], Marking(threshold=threshold, presence=0))
        mask = decode(answer.rle) if answer.rle else np.zeros((210, 300), bool)
        differ = mask != (whole >= threshold)
        assert (abs(whole[differ] - threshold) < 1e-3).all()
        assert answer.area == pytest.approx(mask.mean())


def test_thresholds_are_the_heads_own_unless_given(nano: DefectHead) -> None:
    image = blobs(128, 128)
    own = nano.config
    given = Marking(threshold=own.mask_threshold, presence=own.presence_threshold)
    assert predict(nano, [image]) == predict(nano, [image], given)
    (none,) = predict(nano, [image], Marking(threshold=0, presence=1))
    (everything,) = predict(nano, [image], Marking(threshold=0, presence=0))
    assert none.rle is None and none.area == 0
    assert everything.area == 1


def test_tiles_add_to_the_whole_and_keep_its_quality(nano: DefectHead) -> None:
    images = [blobs(260, 170), blobs(90, 300)]
    low = {"threshold": 0.05, "presence": 0.0}
    for one, more in zip(
        predict(nano, images, Marking(**low)), predict(nano, images, Marking(**low, tiles=3)), strict=True
    ):
        assert more.p_mask >= one.p_mask
        assert (more.quality, more.quality_if_intended) == (one.quality, one.quality_if_intended)
        assert more.area >= one.area
        if one.rle is not None:
            assert more.rle is not None and (decode(more.rle) | ~decode(one.rle)).all()


def test_components_are_the_masks_regions(nano: DefectHead) -> None:
    (answer,) = predict(nano, [blobs(400, 300)], Marking(threshold=0.05, presence=0, components=True))
    assert answer.rle is not None
    assert union([instance.rle for instance in answer.instances]) == answer.rle
