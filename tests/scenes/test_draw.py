"""Scenes: the same seed draws the same picture, and masks show exactly what was made wrong."""

import numpy as np
import pytest

from scenes.canvas import PARTS, Canvas
from scenes.draw import choose, draw_picture, draw_scene
from scenes.kinds import Kind
from scenes.settings import background
from scenes.subjects import KINDS, SUBJECTS
from scenes.words import descriptions, location

_CHANGES_SETTING = {"fish_in_air", "fire_under_water"}


def _index_of(kind: Kind, seed: int = 3) -> int:
    return next(i for i in range(500) if kind in choose(seed, i)[1:])


def test_every_category_and_both_natures_are_drawn() -> None:
    assert {k.category for k in KINDS.values()} == {"body", "faces", "animals", "objects", "logical_defects"}
    assert {k.logical for k in KINDS.values()} == {True, False}
    assert len(SUBJECTS) >= 5
    assert len(KINDS) == 2 * len(SUBJECTS)


def test_same_seed_same_bytes_other_seed_other_picture() -> None:
    a, b, c = (draw_picture(seed, 4, None, 128).image.tobytes() for seed in (1, 1, 2))
    assert a == b
    assert a != c


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda k: k.name)
def test_mask_covers_what_differs_from_the_clean_picture(kind: Kind) -> None:
    index = _index_of(kind)
    clean, wrong = draw_picture(3, index, None, 128), draw_picture(3, index, kind, 128)
    assert not clean.mask.any()
    share = wrong.mask.mean()
    assert 0.004 < share < 0.6
    changed = np.abs(np.asarray(clean.image, float) - np.asarray(wrong.image, float)).max(-1) > 40
    assert changed.any()
    if kind.name not in _CHANGES_SETTING:
        # What is drawn elsewhere instead (a floating ball) changes the picture where it was, too.
        assert (changed & wrong.mask).sum() >= 0.3 * changed.sum()


def test_larger_pictures_show_the_same_scene() -> None:
    kind = KINDS["third_eye"]
    index = _index_of(kind)
    small, large = (draw_picture(3, index, kind, size) for size in (96, 384))
    assert large.image.size == (384, 384)
    shrunk = large.mask.reshape(96, 4, 96, 4).mean((1, 3)) > 0.5
    assert (shrunk & small.mask).sum() / (shrunk | small.mask).sum() > 0.85


def test_arms_of_a_base_scene_share_prompts_so_that_neither_tells_the_answer() -> None:
    arms = {
        arm: draw_scene(5, 11, arm, 64) for arm in ("clean", "anomaly", "AA", "AB", "BA", "BB", "mismatch")
    }
    assert arms["clean"].prompt == arms["anomaly"].prompt
    assert arms["AA"].prompt == arms["BA"].prompt == arms["mismatch"].prompt
    assert arms["AB"].prompt == arms["BB"].prompt
    assert arms["AA"].picture.image.tobytes() == arms["AB"].picture.image.tobytes()
    told = {arm: scene.defective for arm, scene in arms.items()}
    assert told == {
        "clean": False, "anomaly": True, "AA": False, "AB": True, "BA": True, "BB": False, "mismatch": False,
    }  # fmt: skip


def test_texts_name_the_place_of_the_mask() -> None:
    mask = np.zeros((90, 90), bool)
    mask[5:15, 70:80] = True
    assert location(mask) == "upper right"
    assert location(np.ones((9, 9), bool)) == "centre"
    texts = descriptions(KINDS["no_hands"], "upper right")
    assert len(set(texts)) == 3
    assert all("in the upper right of the picture" in t and "{" not in t for t in texts)


def test_what_is_drawn_over_a_defect_hides_it() -> None:
    canvas: Canvas = background("studio", 64, np.random.default_rng(0))
    canvas.place(0.5, 0.5, 0.5)
    with canvas.defective():
        canvas.rectangle(-0.5, -0.5, 0.5, 0.5, (255, 0, 0), "ball")
    canvas.rectangle(-0.5, -0.5, 0.0, 0.5, (0, 255, 0), "cup")
    _, parts, mask = canvas.finish()
    assert mask[32, 40]
    assert not mask[32, 24]
    assert parts[32, 24] == PARTS.index("cup")
