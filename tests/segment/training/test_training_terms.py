"""What the losses learn from, and the thresholds that validation chooses."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from segment.head import HeadOutput
from segment.training.data import Example
from segment.training.loop import Trainer
from segment.training.losses import Weights, balance, targets, terms
from segment.training.scoring import GRID, Answers, choose, count, scores, tolerated
from segment.words import Words

CPU = torch.device("cpu")


def example(defective: bool, asked: bool = False, mask: bool = True, quality: float | None = 3.0) -> Example:
    marked = defective and mask
    return Example(
        id="x",
        image="x.png",
        digest="0" * 64,
        size=(8, 8),
        defective=defective,
        asked=asked,
        mask="m.png" if marked else None,
        mask_digest="1" if marked else None,
        box=(0, 0, 4, 4) if marked else None,
        quality=quality,
        texts=("A fault.",) if defective else (),
        prompt=None,
        pair=None,
        part=None,
        hash=bytes(32),
    )


def found(
    examples: list[Example], told: list[bool] | None = None, inside: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """The gradients' sizes of an answer that is wrong everywhere, by term."""
    n = len(examples)
    out = HeadOutput(
        torch.zeros(n, 8, 8, requires_grad=True),
        torch.zeros(n, requires_grad=True),
        torch.full((n, 2), 2.0, requires_grad=True),
    )
    mask = torch.zeros(n, 8, 8)
    for i, e in enumerate(examples):
        if e.mask:
            mask[i, :4, :4] = 1
    t = targets(examples, told or [False] * n, balance(examples), CPU)
    loss = terms(out, mask, torch.ones(n, 8, 8) if inside is None else inside, t, Weights())
    sum(loss.values()).backward()
    gradients = {"mask": out.mask.grad, "presence": out.presence.grad, "quality": out.quality.grad}
    return {k: v for k, v in gradients.items() if v is not None}


def test_a_picture_whose_defect_was_asked_for_teaches_its_quality_alone() -> None:
    g = found([example(False, asked=True), example(False), example(True)])
    assert not g["mask"][0].any() and not g["presence"][0] and not g["quality"][0, 0]
    assert g["quality"][0, 1] != 0
    assert g["mask"][1].all() and g["quality"][1].all() and g["presence"][1] > 0
    assert g["presence"][2] < 0 and g["quality"][2, 0] != 0 and not g["quality"][2, 1]


def test_what_nobody_drew_or_rated_teaches_nothing() -> None:
    g = found([example(True, mask=False, quality=None), example(True), example(False)])
    assert not g["mask"][0].any() and not g["quality"][0].any() and g["presence"][0] < 0


def test_a_shown_description_teaches_the_mask_alone() -> None:
    g = found([example(True), example(False)], told=[True, False])
    assert g["mask"][0].any() and not g["presence"][0] and not g["quality"][0].any()


def test_the_frames_padding_teaches_nothing() -> None:
    inside = torch.ones(1, 8, 8)
    inside[:, 5:] = 0
    g = found([example(True)], inside=inside)
    assert not g["mask"][0, 5:].any() and g["mask"][0, :5].all()


def test_classes_weigh_alike() -> None:
    clean, sick = balance([example(True)] * 30 + [example(False)] * 10 + [example(False, asked=True)] * 9)
    assert clean * 10 == sick * 30 and clean * 10 + sick * 30 == 40


def answers(p: list[float], both: list[int], marked: list[int], golden: list[int]) -> Answers:
    wide = lambda values: np.repeat(np.array(values)[:, None], len(GRID), 1)  # noqa: E731
    n = len(p)
    return Answers(
        np.array(p),
        np.full((n, 2), 3.0),
        np.array(golden),
        wide(both),
        wide(marked),
        wide(both),
        wide(marked),
    )


def test_thresholds_mark_at_most_the_share_allowed() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.05, 0.2):
        examples = [example(i % 2 == 1) for i in range(400)]
        p = [float(rng.beta(5, 3) if e.defective else rng.beta(2, 5)) for e in examples]
        a = answers(p, [10 * e.defective for e in examples], [10] * 400, [10 * e.defective for e in examples])
        mask, presence = choose(examples, a, share)
        told = scores(examples, a, mask, presence)
        assert told["clean_marked"] <= share
        assert told["giou"] > (0.3 if share else 0) and told["auc"] > 0.8
        assert told["clean_marked"] * 200 == tolerated(
            200, share
        )  # and no more is left unmarked than has to be
    assert [tolerated(n, 0.05) for n in (10, 58, 59, 140, 1000)] == [0, 0, 1, 4, 43]


def test_nothing_is_held_back_where_no_flawless_image_is_marked() -> None:
    examples = [example(True), example(True), example(False)]
    a = answers([0.2, 0.9, 0.5], [8, 5, 0], [10, 10, 0], [10, 10, 0])
    _, presence = choose(examples, a, 0.05)
    told = scores(examples, a, 0.5, presence)
    assert told["giou"] == np.mean([8 / 12, 5 / 15]) and told["clean_marked"] == 0


def test_counts_at_each_threshold() -> None:
    golden = np.zeros((4, 4), dtype=bool)
    golden[:2] = True
    both, marked = count(np.where(golden, 0.6, 0.3), golden)
    assert both.tolist() == [8 * (t <= 0.6) for t in GRID]
    assert marked.tolist() == [8 * (t <= 0.6) + 8 * (t <= 0.3) for t in GRID]


def test_descriptions_shown_are_of_defects_and_some_are_wrong() -> None:
    examples = [replace(example(i % 2 == 1), id=str(i)) for i in range(4000)]
    words = {e.id: [Words(np.array([float(e.id)]))] for e in examples if e.texts}
    trainer = SimpleNamespace(parts={"training": examples}, words=words, plan=SimpleNamespace(say=0.5))
    shown = Trainer._shown(trainer, np.random.default_rng(0))  # type: ignore[arg-type]
    assert not any(shown[::2])  # flawless ones are shown none
    told = [(i, w.vector[0]) for i, w in enumerate(shown) if w is not None]
    assert 0.45 < len(told) / 2000 < 0.55
    assert 0.2 < np.mean([i != whose for i, whose in told]) < 0.3
    assert all(whose % 2 == 1 for _, whose in told)
