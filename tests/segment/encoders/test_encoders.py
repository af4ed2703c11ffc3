"""Encoders by name: what each family gives, frozen, framed as its own processor frames."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from flawscribe.errors import UserError
from segment.encoders import Encoder, frame, frame_points, frame_size, load_encoder, unframe


@pytest.fixture(scope="module")
def encoder(directory: Path) -> Encoder:
    return load_encoder(str(directory))


def random_image(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))


def test_nano_is_an_encoder() -> None:
    nano = load_encoder("nano")
    assert (nano.name, nano.side, nano.grid, nano.width) == ("nano", 128, 8, 128)
    assert nano(torch.zeros(2, 3, 128, 128)).shape == (2, 128, 8, 8)
    decoder = nano.decoder()
    assert decoder.mask_decoder.hidden_size == 128
    with pytest.raises(UserError, match="takes no prompts"):
        decoder.masks(nano.features(torch.zeros(1, 3, 128, 128)), boxes=torch.zeros(1, 1, 4))


def test_encoders_are_frozen_and_identified(encoder: Encoder, directory: Path) -> None:
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert encoder.name == str(directory)
    assert len(encoder.digest) >= 16
    assert encoder.digest == load_encoder(str(directory)).digest
    embedding = encoder(torch.zeros(2, 3, 256, 256))
    assert embedding.shape == (2, encoder.width, encoder.grid, encoder.grid)
    assert embedding.dtype == torch.float32
    assert not embedding.requires_grad


@pytest.mark.parametrize("size", [(300, 200), (37, 90)])
def test_frames_are_those_of_the_familys_own_processor(
    encoder: Encoder, family: str, size: tuple[int, int]
) -> None:
    if family == "Sam2":
        processor: Any = transformers.Sam2ImageProcessor(size={"height": 256, "width": 256})
    else:
        processor = transformers.SamImageProcessor(
            size={"longest_edge": 256}, pad_size={"height": 256, "width": 256}
        )
    theirs = processor(random_image(size), return_tensors="pt")["pixel_values"][0]
    ours, taken = frame(random_image(size), encoder)
    assert taken == frame_size((size[1], size[0]), encoder)
    inside = (ours - theirs)[:, : taken[0], : taken[1]]
    assert inside.abs().mean() < 0.02  # resized by another library, which rounds otherwise
    assert not ours[:, taken[0] :].any() and not ours[:, :, taken[1] :].any()


def test_prompted_masks_are_the_models_own(encoder: Encoder, directory: Path, family: str) -> None:
    """Through our features and decoder, in a batch of two with three prompts each, as through the whole model."""
    if family == "SamHQ":
        pytest.skip("transformers' own decoder of SAM-HQ is at fault: see test_sam_hq.py")
    model = getattr(transformers, f"{family}Model").from_pretrained(directory).eval()
    pixels = torch.stack([frame(random_image(size), encoder)[0] for size in [(300, 200), (80, 90)]])
    boxes = torch.tensor([[10.0, 20, 200, 150], [0, 0, 255, 170], [50, 60, 70, 80]]).repeat(2, 1, 1)
    for multimask in (False, True):
        with torch.no_grad():
            theirs = model(pixel_values=pixels, input_boxes=boxes, multimask_output=multimask)
        logits, scores = encoder.decoder().masks(encoder.features(pixels), boxes=boxes, multimask=multimask)
        assert theirs.pred_masks.abs().max() > 1
        torch.testing.assert_close(logits, theirs.pred_masks, atol=1e-3, rtol=0)
        torch.testing.assert_close(scores, theirs.iou_scores, atol=1e-3, rtol=0)


def test_a_head_can_start_from_the_decoder(encoder: Encoder) -> None:
    """The plain decoder holds the checkpoint's weights, as a copy that may be trained."""
    decoder = encoder.decoder()
    source = encoder.model.mask_decoder  # type: ignore[union-attr]
    torch.testing.assert_close(decoder.mask_decoder.mask_tokens.weight, source.mask_tokens.weight)  # type: ignore[union-attr, arg-type]
    theirs = source.transformer.layers[0].mlp  # type: ignore[union-attr]
    first = getattr(theirs, "lin1", None) or theirs.proj_in  # type: ignore[union-attr]
    torch.testing.assert_close(decoder.mask_decoder.transformer.layers[0].mlp.lin1.weight, first.weight)
    with torch.no_grad():
        decoder.mask_decoder.mask_tokens.weight.zero_()
        decoder.positions.positional_embedding.zero_()
    assert source.mask_tokens.weight.any()  # type: ignore[union-attr]
    assert encoder.decoder().positions.positional_embedding.any()
    assert decoder.no_mask.shape == (encoder.width,)


def test_points_follow_the_frame(encoder: Encoder) -> None:
    """The picture's lower right corner is the frame's part's lower right corner, and masks come back to it."""
    taken = frame_size((200, 300), encoder)
    corner = frame_points(torch.tensor([[300.0, 200.0]]), taken, (200, 300))
    assert corner.tolist() == [[taken[1], taken[0]]]
    logits = torch.full((2, 64, 64), -5.0)
    logits[:, : taken[0] // 8, : taken[1] // 8] = 5.0  # the upper left quarter of what the picture takes
    masks = unframe(logits, taken, (200, 300)) > 0
    assert masks.shape == (2, 200, 300)
    assert masks.float().mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("name", ["nanoo", "", "~nobody/x", "x" * 5000, "no/such/folder", "missing.pth"])
def test_no_encoder_of_that_name_is_one_line(name: str) -> None:
    with pytest.raises(UserError) as told:
        load_encoder(name)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


def test_features_are_the_models_own(encoder: Encoder, directory: Path, family: str) -> None:
    """Ours run in blocks of our own, in another order of work: the numbers stay, those of windows that overhang too."""
    model = getattr(transformers, f"{family}Model").from_pretrained(directory).eval()
    pixels = torch.stack([frame(random_image(size), encoder)[0] for size in [(300, 200), (80, 90)]])
    with torch.no_grad():
        found = model.get_image_embeddings(pixels)
    ours = encoder.features(pixels)
    if family == "Sam":
        theirs = [found]
    elif family == "SamHQ":
        theirs = [found[0], found[1][0]]
    else:
        theirs = [found[2], found[0], found[1]]
    for mine, other in zip((ours.embedding, *ours.extra), theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


def test_a_hub_id_is_found_in_the_cache(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its revision, without a network, as huggingface_hub lays its cache out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "models--someone--sam", "0123456789" * 4
    shutil.copytree(directory, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "small").write_text(commit)
    encoder = load_encoder("someone/sam@small")
    assert encoder.name == "someone/sam@small"
    assert encoder.digest == load_encoder(str(directory)).digest
    with pytest.raises(UserError, match="cannot fetch the encoder someone/sam"):
        load_encoder("someone/sam@other")
