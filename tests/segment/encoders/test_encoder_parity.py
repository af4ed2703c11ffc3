"""Our path from a picture to mask logits against `segment_anything.SamPredictor`, on shared random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segment.encoders import Encoder, frame, frame_points, load_encoder, unframe

segment_anything = pytest.importorskip("segment_anything")

SIZES = {
    "portrait": (180, 300),
    "landscape": (311, 207),
    "tiny": (7, 5),
    "sliver": (900, 3),
    "frame's own": (256, 256),
    "huge": (3000, 2000),
}


@pytest.fixture(scope="module")
def converted(pth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as transformers itself writes and reads them."""
    folder = tmp_path_factory.mktemp("converted")
    load_encoder(str(pth)).model.save_pretrained(folder)  # type: ignore[operator, union-attr]
    return folder


@pytest.fixture(scope="module", params=["pth", "directory"])
def encoder(request: pytest.FixtureRequest, pth: Path, converted: Path) -> Encoder:
    return load_encoder(str(pth if request.param == "pth" else converted))


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Random patches, large and small, in colours that tell RGB from BGR."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = rng.integers(-20, 20, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def prompts(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three boxes (3, 4), and three times two points (3, 2, 2) with labels (3, 2), in pixels of the picture."""
    rng = np.random.default_rng(3)
    corners = np.sort(rng.uniform(0, 1, (3, 2, 2)), axis=1) * size
    return corners.reshape(3, 4), rng.uniform(0, 1, (3, 2, 2)) * size, np.array([[1, 0], [1, 1], [0, 1]])


def compare(encoder: Encoder, sam: Any, size: tuple[int, int]) -> None:
    image = picture(size)
    boxes, points, labels = prompts(size)
    predictor = segment_anything.SamPredictor(sam)
    predictor.set_image(np.asarray(image))
    framed, taken = frame(image, encoder)
    features, decoder = encoder.features(framed[None]), encoder.decoder()
    own = (image.height, image.width)
    at = frame_points(torch.from_numpy(boxes)[None], taken, own)
    to = frame_points(torch.from_numpy(points)[None], taken, own)
    marks = torch.from_numpy(labels)[None]
    for kind, asked in {
        "box": {"boxes": at},
        "points": {"points": to, "labels": marks},
        "both": {"boxes": at, "points": to, "labels": marks},
    }.items():
        for multimask in (False, True):
            logits, quality = decoder.masks(features, **asked, multimask=multimask)
            masks = unframe(logits[0], taken, own)
            for i in range(3):
                theirs, score, _ = predictor.predict(
                    box=boxes[i] if kind != "points" else None,
                    point_coords=points[i] if kind != "box" else None,
                    point_labels=labels[i] if kind != "box" else None,
                    multimask_output=multimask,
                    return_logits=True,
                )
                assert np.abs(theirs).max() > 3, "weights so flat that anything would agree"
                np.testing.assert_allclose(masks[i].numpy(), theirs, atol=1e-3)
                np.testing.assert_allclose(quality[0, i].numpy(), score, atol=1e-3)


@pytest.mark.parametrize("size", list(SIZES.values())[:-1], ids=list(SIZES)[:-1])
def test_masks_are_those_of_sam_predictor(encoder: Encoder, sam: Any, size: tuple[int, int]) -> None:
    compare(encoder, sam, size)


@pytest.mark.slow
def test_masks_of_a_huge_picture_are_those_of_sam_predictor(encoder: Encoder, sam: Any) -> None:
    compare(encoder, sam, SIZES["huge"])


def test_the_frames_pixels_are_sams(encoder: Encoder, sam: Any) -> None:
    image = picture((311, 207))
    predictor = segment_anything.SamPredictor(sam)
    theirs = torch.from_numpy(predictor.transform.apply_image(np.asarray(image))).permute(2, 0, 1)
    ours, taken = frame(image, encoder)
    assert taken == tuple(theirs.shape[1:])
    torch.testing.assert_close(ours, sam.preprocess(theirs[None])[0], atol=1e-5, rtol=0)


def test_a_batch_is_as_its_pictures_alone(encoder: Encoder) -> None:
    frames = torch.stack(
        [frame(picture(size, i), encoder)[0] for i, size in enumerate([(90, 60), (60, 90), (256, 9)])]
    )
    together = encoder(frames)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], encoder(frames[i : i + 1]), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_vit_b_is_recognised_and_agrees(tmp_path: Path) -> None:
    """The published architecture at its own size, 1024 px and 91 million parameters, with random weights."""
    sam = segment_anything.sam_model_registry["vit_b"]()
    with torch.no_grad():
        for name, value in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                value.copy_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(5)))
    path = tmp_path / "no-hint-in-the-name.pth"
    torch.save(sam.state_dict(), path)
    encoder = load_encoder(str(path))
    assert (encoder.side, encoder.grid, encoder.width) == (1024, 64, 256)
    image, box = picture((640, 480)), np.array([100.0, 80.0, 400.0, 300.0])
    predictor = segment_anything.SamPredictor(sam)
    predictor.set_image(np.asarray(image))
    theirs, _, _ = predictor.predict(box=box, multimask_output=True, return_logits=True)
    framed, taken = frame(image, encoder)
    at = frame_points(torch.from_numpy(box)[None, None], taken, (480, 640))
    logits, _ = encoder.decoder().masks(encoder.features(framed[None]), boxes=at, multimask=True)
    np.testing.assert_allclose(unframe(logits[0, 0], taken, (480, 640)).numpy(), theirs, atol=1e-3)
