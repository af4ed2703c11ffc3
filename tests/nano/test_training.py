"""Training: an interrupted run ends with the same weights, and both stages lower their loss."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from nano.build import new_vlm
from nano.curves import plot, read_log, table
from nano.data import TRAIN_SEED, VALIDATION_SEED, Triples, pictures_of, triple
from nano.loop import Batch, fit, loader, optimisers, rate, steps_from
from nano.thresholds import FIRST
from nano.tokenizer import train_tokenizer
from nano.train_tower import TowerTrainer, initialise, losses, normalise
from nano.train_vlm import VlmTrainer, corpus, level, pairs_of, rows_of
from scenes.draw import choose


class Small(nn.Module):
    """Just enough to be trained by the loop: brightness to quality."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        rows = batch["image"].flatten(0, 1).float().reshape(-1, 2, 64, 2, 64, 3).mean((2, 4)).flatten(1) / 255
        return {"quality": (self.blocks(rows)[:, 0] - batch["quality"][..., 0].flatten()).square().mean()}


def _train(work: Path, stop_at: int | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = Small()
    checks = 0

    def validate() -> dict[str, float]:
        nonlocal checks
        checks += 1
        if checks == stop_at:
            raise KeyboardInterrupt
        return {}

    work.mkdir(exist_ok=True)
    fit(
        "small",
        model,
        optimisers(model, model.blocks, 1e-3),
        model.loss,
        validate,
        work,
        (2, 2),
        workers=0,
        every=1,
    )
    return model.state_dict()


def test_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    straight = _train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b", stop_at=3)
    assert torch.load(tmp_path / "b" / "small.pt", weights_only=True)["step"] == 2
    resumed = _train(tmp_path / "b")
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value)
    assert len((tmp_path / "b" / "small.jsonl").read_text().splitlines()) >= 4


def test_rate_warms_up_and_falls_to_zero_in_every_cycle() -> None:
    rates = [rate(step, (200, 100), warmup=10) for step in range(301)]
    assert rates[0] < rates[9] > rates[100] > rates[199] >= 0
    assert rates[199] < 0.001 < rates[205] < rates[209] <= 0.5
    assert rates[299] < 0.001 and rates[300] == 0


@pytest.fixture(scope="module")
def batch() -> Batch:
    return next(steps_from(0, 1, workers=0))


def _first_and_last_loss(model: nn.Module, blocks: nn.Module, loss) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    opts, seen = optimisers(model, blocks, 1e-3), []
    for _ in range(6):
        total = torch.stack(list(loss().values())).sum()
        total.backward()
        for o in opts:
            o.step()
            o.zero_grad()
        seen.append(total.item())
    return seen[0], seen[-1]


@pytest.mark.slow
def test_tower_learns_a_batch(batch: Batch) -> None:
    torch.manual_seed(0)
    model = TowerTrainer()
    initialise(model, normalise(batch["image"].flatten(0, 1)))
    first, last = _first_and_last_loss(model, model.head.encoder.layers, lambda: losses(model, batch))
    assert last < 0.9 * first


@pytest.mark.slow
def test_vlm_learns_a_batch_and_pairs_rank_the_right_way(batch: Batch) -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(corpus(300))
    model = VlmTrainer(new_vlm(tokenizer), tokenizer)
    first, last = _first_and_last_loss(
        model, model.vlm.model.text_model.layers, lambda: model(batch, TRAIN_SEED, True)[0]
    )
    assert last < 0.9 * first
    rows = model.encode(batch, TRAIN_SEED)
    assert len(rows) == 4 * len(batch["index"])
    for row in rows:
        assert tokenizer.decode([row.ids[row.boolean]]) == ("true" if row.label else "false")
        assert row.picture < 3 * len(batch["index"])
    answers = [str(tokenizer.decode(r.ids[r.answer :])) for r in rows if r.label]
    whole = [a for a in answers if a.endswith('"]}<end_of_utterance>')]
    assert len(whole) == len(answers) // 2
    assert all(a.startswith('{"Defective":true,"Description":["') for a in whole)
    cut = [a for a in answers if a not in whole]
    assert all(a.startswith('{"Defective":true,"Description":["') and len(a) > 50 for a in cut)
    assert max(map(len, cut)) < min(map(len, whole))


def test_levelling_shifts_every_boolean_alike_and_balances_both_errors() -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(corpus(300))
    model = VlmTrainer(new_vlm(tokenizer), tokenizer).eval()
    alone = [i for i in range(FIRST, FIRST + 12) if len(choose(VALIDATION_SEED, i).several) == 1]
    (batch,) = loader(Triples(VALIDATION_SEED, alone, augment=False), workers=0)
    with torch.inference_mode():
        _, states, label = model(batch, VALIDATION_SEED, True, pairs_of)
        before = model.odds(states)
        shift = level(model, scenes=12)
        after = model.odds(states)
    torch.testing.assert_close(after - before, torch.full_like(after, shift), atol=1e-3, rtol=0)
    found = [float(((after >= 0) == wrong)[label.bool() == wrong].float().mean()) for wrong in (False, True)]
    assert abs(found[0] - found[1]) <= 0.1


def test_rows_name_what_the_prompt_does_not_ask_for() -> None:
    """Of each base scene the labels are balanced under every prompt, and no answer names what was asked for."""
    for index in range(80):
        base = choose(TRAIN_SEED, index)
        shown, rows = pictures_of(base), rows_of(base)
        assert [bool(r.defects) for r in rows] == [False, True, False, True]
        assert rows[2].user == rows[3].user
        (asked,) = shown[rows[2].picture]
        named = [shown[rows[3].picture][i] for i in rows[3].defects]
        assert named and asked not in named
        assert set(shown[rows[3].picture]) - {asked} == set(named)
        masks = np.ones((3, 32, 32), dtype=np.float32)
        assert len(json.loads(rows[1].answer(base, masks))["Description"]) == 1


def test_a_shift_moves_picture_and_mask_together() -> None:
    """What is marked as defective is what is shown: the marked pixels differ from the clean picture's."""
    shares = []
    for index in range(40):
        clean, a, _ = triple(TRAIN_SEED, index, augment=True)
        if any(x.kind.name in ("third_eye", "split_ball", "half_dial", "three_arms") for x in a.anomalies):
            difference = np.asarray(a.image, float) - np.asarray(clean.image, float)
            changed = np.abs(difference).max(-1) > 60
            if changed.sum() > 20:
                shares.append((changed & a.mask).sum() / changed.sum())
    assert len(shares) >= 3
    assert np.mean(shares) > 0.6


def test_curriculum_begins_with_one_subject_and_resumes_where_it_was() -> None:
    from_start = [b["index"].tolist() for b in steps_from(0, 3, workers=0, easy=2)]
    assert all(len(choose(TRAIN_SEED, i).cells) == 1 for step in from_start[:2] for i in step)
    assert any(len(choose(TRAIN_SEED, i).cells) > 1 for i in from_start[2])
    assert [b["index"].tolist() for b in steps_from(1, 3, workers=0, easy=2)] == from_start[1:]


def test_curves_and_table_come_from_the_logs(tmp_path: Path) -> None:
    tower = {"auc_one": 0.9, "auc": 0.8, "pair_accuracy": 0.9, "giou": 0.5, "clean_marked": 0.1}
    vlm = {"auc": 0.7, "accuracy": 0.7, "excused": 0.6, "not_excused": 0.9}
    lines = [{"step": 200, **tower}, {"step": 400, **tower}, {"step": 200, **tower}]
    (tmp_path / "tower.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "vlm.jsonl").write_text(json.dumps({"step": 100, **vlm}) + "\n")
    assert [line["step"] for line in read_log(tmp_path / "tower.jsonl")] == [200, 400]
    plot(tmp_path, tmp_path / "learning.png")
    with Image.open(tmp_path / "learning.png") as picture:
        assert picture.width > 800
    assert "400 steps" in table(tmp_path) and "0.500" in table(tmp_path)
