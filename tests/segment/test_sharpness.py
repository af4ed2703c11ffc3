"""How sharp and grainy a picture is: what the numbers tell apart, and that training and prediction see the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from scenes.dataset import write_scenes
from segment.encoders import frame, load_encoder
from segment.head import head_over
from segment.sharpness import QUANTILES, sharpness
from segment.training.cache import Cache
from segment.training.data import read_examples

ENCODER = load_encoder("nano")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("sharp") / "d", 3, seed=4)


def seen(image: Image.Image) -> torch.Tensor:
    framed, (height, width) = frame(image, ENCODER)
    return sharpness(framed[:, :height, :width])


def test_blur_dulls_contours_and_grain_roughens_what_is_flat(drawn: Path) -> None:
    with Image.open(drawn.parent / "images" / "000000.png") as opened:
        plain = opened.convert("RGB").filter(ImageFilter.MedianFilter(5))  # it has grain of its own
    noise = np.random.default_rng(0).normal(0, 6, (*plain.size[::-1], 1))
    grainy = Image.fromarray(np.clip(np.asarray(plain) + noise, 0, 255).astype(np.uint8))
    before = seen(plain)
    assert before.shape == (len(QUANTILES),)
    assert seen(plain.filter(ImageFilter.GaussianBlur(1)))[-1] < before[-1] - 0.3
    assert seen(grainy)[0] > before[0] + 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (128, 40)], ids=str)
def test_any_shape_has_finite_numbers_and_padding_none(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8))
    framed, taken = frame(image, ENCODER)
    head = head_over(ENCODER)
    looked = head.look(framed[None], [taken]).sharpness
    assert looked is not None and bool(torch.isfinite(looked).all())
    torch.testing.assert_close(looked[0], seen(image))


def test_training_sees_what_prediction_sees_in_every_view(drawn: Path, tmp_path: Path) -> None:
    examples, _ = read_examples(drawn, tmp_path, False)
    cache = Cache(tmp_path / "cache", ENCODER, 128, True)
    cache.fill([(e, v) for e in examples for v in (0, 1)])
    for view in (0, 1):
        kept = cache.batch([(e, view) for e in examples], torch.device("cpu")).seen.sharpness
        assert kept is not None
        for e, row in zip(examples, kept, strict=True):
            with Image.open(e.image) as image:
                torch.testing.assert_close(row, seen(image.convert("RGB")), atol=0.05, rtol=0)
