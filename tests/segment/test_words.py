"""The places that a description names, as a head gets them: in the frame, whatever the picture's shape and view."""

import numpy as np
import torch

from segment.encoders import load_encoder
from segment.head import TextRef, head_over
from segment.words import GRID, Words, lies, row, silence

NONE = np.zeros(4, dtype=np.float32)
UPPER_LEFT = Words(NONE, ((0.0, 0.0, 0.5, 0.5),))


def places(
    words: Words, box: tuple[int, int, int, int], size: tuple[int, int], taken: tuple[int, int]
) -> np.ndarray:
    """The map for a frame of 128 px."""
    return row(words, lies(box, size, taken, 128))[4:].reshape(GRID, GRID)


def test_a_quarter_of_a_square_picture() -> None:
    half = GRID // 2
    found = places(UPPER_LEFT, (0, 0, 300, 300), (300, 300), (128, 128))
    assert (found[:half, :half] == 1).all() and (found == 1).sum() == half**2 and (found[half:] == -1).all()


def test_a_portrait_takes_the_left_of_the_frame() -> None:
    found = places(Words(NONE, ((0.5, 0.0, 1.0, 1.0),)), (0, 0, 100, 200), (200, 100), (128, 64))
    assert set(np.flatnonzero((found == 1).any(0))) == set(range(GRID // 4, GRID // 2))


def test_a_crop_sees_the_places_of_the_whole_picture() -> None:
    # The lower right quarter of the picture: nothing of its upper left is in sight, all of its lower right is.
    box = (100, 100, 200, 200)
    assert (places(UPPER_LEFT, box, (200, 200), (128, 128)) == -1).all()
    assert (places(Words(NONE, ((0.5, 0.5, 1.0, 1.0),)), box, (200, 200), (128, 128)) == 1).all()


def test_words_without_a_place_say_nothing_of_places() -> None:
    assert not places(Words(NONE), (0, 0, 10, 10), (10, 10), (128, 128)).any()
    assert not silence(4).any() and silence(4).shape == row(UPPER_LEFT, (0, 0, 1, 1)).shape


def test_a_head_marks_more_where_the_words_point() -> None:
    head = head_over(load_encoder("nano"), TextRef("hashed", "-", 4)).eval()
    head.place_gain.data.fill_(2.0)
    frame = torch.zeros(1, 3, 128, 128)
    words = Words(np.ones(4, dtype=np.float32) / 2, UPPER_LEFT.regions)
    with torch.inference_mode():
        said = torch.from_numpy(row(words, (0, 0, 1, 1)))[None]
        pointed, without = (
            head(frame, said),
            head(frame, torch.cat([said[:, :4], torch.zeros(1, GRID**2)], 1)),
        )
    difference = (pointed.mask - without.mask)[0]
    assert difference[:56, :56].min() > 1 and difference[72:, 72:].max() < -1
    torch.testing.assert_close(pointed.presence, without.presence)


def test_the_masks_surest_pixel_has_a_say_but_not_in_the_padding() -> None:
    head = head_over(load_encoder("nano")).eval()
    frames = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    taken = [(128, 128), (128, 40)]
    with torch.inference_mode():
        seen = head.look(frames, taken)
        raw, pooled = head.decode(seen), head(frames, taken=taken)
    peaks = torch.stack([raw.mask[0].max(), raw.mask[1, :, :40].max()])
    torch.testing.assert_close(pooled.presence, (raw.presence + peaks) / 2)
    torch.testing.assert_close(pooled.mask, raw.mask)
