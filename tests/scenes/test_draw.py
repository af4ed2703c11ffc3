"""Scenes: the same seed draws the same picture, and masks show exactly what was made wrong."""

import numpy as np
import pytest

from scenes.canvas import PARTS, Canvas
from scenes.draw import Anomaly, Base, choose, draw_picture, draw_scene, in_sight
from scenes.kinds import Kind
from scenes.settings import background
from scenes.shifts import SHIFTS, UNSHIFTED, Shift, shift_of
from scenes.subjects import KINDS, SUBJECTS
from scenes.words import descriptions, location, opinion, severity

_CHANGES_SETTING = {"fish_in_air", "fire_under_water"}


def _contrast(base: Base) -> bool:
    return np.asarray(draw_picture(base, (), 64).image, float).std((0, 1)).min() > 30


def _one(kind: Kind, seed: int = 3) -> tuple[Base, Anomaly]:
    """A base scene of one subject that can have this defect, all in plain colours."""
    for index in range(500):
        base = choose(seed, index)
        if len(base.cells) == 1 and kind in base.cells[0].subject.kinds and _contrast(base):
            return base, Anomaly(0, kind)
    raise AssertionError(kind.name)


def test_every_category_and_both_natures_are_drawn() -> None:
    assert {k.category for k in KINDS.values()} == {"body", "faces", "animals", "objects", "logical_defects"}
    assert {k.logical for k in KINDS.values()} == {True, False}
    assert len(SUBJECTS) >= 12
    assert len(KINDS) == sum(len(s.kinds) for s in SUBJECTS.values()) >= 16


def test_same_seed_same_bytes_other_seed_other_picture() -> None:
    a, b, c = (draw_scene(seed, 4, "anomaly", 128).picture for seed in (1, 1, 2))
    assert a.image.tobytes() == b.image.tobytes()
    assert a.image.tobytes() != c.image.tobytes()
    assert all((x == y).all() for x, y in zip(a.masks, b.masks, strict=True))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda k: k.name)
def test_mask_covers_what_differs_from_the_clean_picture(kind: Kind) -> None:
    base, anomaly = _one(kind)
    clean, wrong = draw_picture(base, (), 128), draw_picture(base, (anomaly,), 128)
    assert not clean.mask.any()
    assert 0.002 < wrong.mask.mean() < 0.6
    changed = np.abs(np.asarray(clean.image, float) - np.asarray(wrong.image, float)).max(-1) > 30
    assert changed.any()
    if kind.name not in _CHANGES_SETTING:
        # What is drawn elsewhere instead (a floating ball) changes the picture where it was, too.
        assert (changed & wrong.mask).sum() >= 0.3 * changed.sum()


def test_pictures_hold_one_to_three_subjects_and_up_to_three_defects_of_all_sizes() -> None:
    bases = [choose(8, i) for i in range(150)]
    assert {len(b.cells) for b in bases} == {1, 2, 3}
    assert {len(b.several) for b in bases} == {1, 2, 3}
    areas = [m.mean() for b in bases for m in draw_picture(b, b.several, 96).masks]
    assert np.mean(np.array(areas) < 0.01) > 0.1
    assert max(areas) > 0.2
    assert min(areas) > 0
    for b in bases:
        kinds = {(a.cell, a.kind.name) for a in b.several}
        assert b.several[0] == b.a != b.b
        assert len(kinds) == len(b.several)
        assert all(a.kind in b.cells[a.cell].subject.kinds for a in (*b.several, b.b))


def test_each_defect_has_its_own_mask() -> None:
    base = next(
        b
        for b in (choose(8, i) for i in range(150))
        if len({a.cell for a in b.several}) == len(b.several) == 2
    )
    both = draw_picture(base, base.several, 128)
    for anomaly, mask in zip(base.several, both.masks, strict=True):
        alone = draw_picture(base, (anomaly,), 128).mask
        assert (mask & alone).sum() / (mask | alone).sum() > 0.9
    assert (both.masks[0] & both.masks[1]).sum() == 0
    assert both.mask.sum() == sum(m.sum() for m in both.masks)


def test_parts_are_told_apart_one_by_one() -> None:
    base, missing = _one(KINDS["missing_finger"])
    whole, wrong = draw_picture(base, (), 256), draw_picture(base, (missing,), 256)

    def fingers(picture) -> int:  # type: ignore[no-untyped-def]
        shown = np.unique(picture.instances)
        return sum(picture.parts[i] == "finger" for i in shown)

    assert fingers(whole) == 5
    assert fingers(wrong) == 4
    assert set(whole.parts) <= set(PARTS)


def test_larger_pictures_show_the_same_scene() -> None:
    base, third = _one(KINDS["third_eye"])
    small, large = (draw_picture(base, (third,), size) for size in (96, 384))
    assert large.image.size == (384, 384)
    shrunk = large.mask.reshape(96, 4, 96, 4).mean((1, 3)) > 0.5
    assert (shrunk & small.mask).sum() / (shrunk | small.mask).sum() > 0.75


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


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_change_the_picture_alike_in_every_arm(name: str) -> None:
    shift = shift_of(name, 5, 2)
    plain, moved = draw_scene(5, 2, "anomaly", 128), draw_scene(5, 2, "anomaly", 128, shift)
    assert plain.picture.image.tobytes() != moved.picture.image.tobytes()
    assert plain.prompt == moved.prompt
    assert moved.picture.mask.any()
    share = moved.picture.mask.sum() / plain.picture.mask.sum()
    expected = {"smaller": 0.75**2, "larger": 1.3**2}.get(name, 1.0)
    assert share == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("shift", [None, "larger", "moved"])
def test_every_defect_is_in_sight(shift: str | None) -> None:
    for index in range(150):
        base = choose(6, index)
        moved = in_sight(base, shift_of(shift, 6, index)) if shift else UNSHIFTED
        for anomalies in (base.several, (base.b,)):
            assert all(m.any() for m in draw_picture(base, anomalies, 64, moved).masks), (index, anomalies)


def test_a_shift_that_hides_a_defect_is_taken_in_part() -> None:
    base = choose(6, 1)
    assert in_sight(base, Shift(dx=0.02)) == Shift(dx=0.02)
    less = in_sight(base, Shift(dx=3.0, blur=1.0))
    assert 0 <= less.dx < 1 and less.blur == 1.0


def test_a_mirrored_sign_stays_readable() -> None:
    base, mirrored = _one(KINDS["mirrored_letters"])
    plain, flipped = (draw_picture(base, (), 128, Shift(mirror=m)) for m in (False, True))
    wrong = draw_picture(base, (mirrored,), 128, Shift(mirror=True))
    letters = [
        np.isin(p.instances, [i for i, part in enumerate(p.parts) if part == "letter"])
        for p in (plain, flipped, wrong)
    ]
    # Where the sign now stands, the letters are those of the unmirrored picture, not their reflection.
    crops = [m[np.ix_(np.flatnonzero(m.any(1)), np.flatnonzero(m.any(0)))] for m in letters]
    h, w = (min(c.shape[i] for c in crops) for i in (0, 1))
    a, b, c = (crop[:h, :w] for crop in crops)
    assert (a == b).mean() > 0.9
    assert (a == c).mean() < 0.9


def test_texts_name_every_defect_its_place_and_the_worst_effect() -> None:
    mask = np.zeros((90, 90), bool)
    mask[5:15, 70:80] = True
    assert location(mask) == "upper right"
    assert location(np.ones((9, 9), bool)) == "centre"
    texts = descriptions(
        [(KINDS["no_hands"], "upper right", "minor"), (KINDS["third_eye"], "centre", "severe")]
    )
    assert len(set(texts)) == 3
    for text in texts:
        assert "in the upper right of the picture" in text and "in the centre of the picture" in text
        assert "{" not in text
    assert "strongly" in texts[0]
    assert "only a little" not in texts[0]


def test_small_defects_count_less_and_several_count_more() -> None:
    kind = KINDS["third_eye"]
    assert severity(kind, 0.05) == "severe"
    assert severity(kind, 0.004) == "moderate"
    scores = [opinion([], 1), opinion([(kind, "moderate")], 1), opinion([(kind, "moderate")] * 2, 1)]
    assert scores == sorted(scores, reverse=True)
    assert opinion([], 0.3) < opinion([], 1)
    assert opinion([(kind, "severe")] * 9, 0) == 1


def test_what_is_drawn_over_a_defect_hides_it() -> None:
    canvas: Canvas = background("studio", 64, np.random.default_rng(0))
    canvas.frame(0, 0.5, 0.5, 1.0)
    canvas.place(0.5, 0.5, 0.5)
    with canvas.defective("split_ball", {"split_ball"}):
        canvas.rectangle(-0.5, -0.5, 0.5, 0.5, (255, 0, 0), "ball")
    canvas.rectangle(-0.5, -0.5, 0.0, 0.5, (0, 255, 0), "cup")
    _, instances, parts, masks = canvas.finish()
    mask = masks[0, "split_ball"]
    assert mask[32, 40]
    assert not mask[32, 24]
    assert parts[instances[32, 24]] == "cup"
