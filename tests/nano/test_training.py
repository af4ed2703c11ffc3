"""Training: an interrupted run ends with the same weights, and both stages lower their loss."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nano.build import new_vlm
from nano.data import TRAIN_SEED, triple
from nano.loop import Batch, fit, optimisers, steps_from
from nano.train_tower import TowerTrainer, initialise, losses, normalise
from nano.train_vlm import VlmTrainer, corpus, place_of, train_tokenizer


class Small(nn.Module):
    """Just enough to be trained by the loop: brightness to quality."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        rows = batch["image"].flatten(0, 1).float().reshape(-1, 2, 64, 2, 64, 3).mean((2, 4)).flatten(1) / 255
        return {"quality": (self.blocks(rows)[:, 0] - batch["quality"].flatten()).square().mean()}


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
        4,
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


def test_tower_learns_a_batch(batch: Batch) -> None:
    torch.manual_seed(0)
    model = TowerTrainer()
    initialise(model, normalise(batch["image"].flatten(0, 1)))
    first, last = _first_and_last_loss(model, model.head.encoder.layers, lambda: losses(model, batch))
    assert last < 0.9 * first


def test_vlm_learns_a_batch_and_pairs_rank_the_right_way(batch: Batch) -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(corpus())
    model = VlmTrainer(new_vlm(tokenizer), tokenizer)
    first, last = _first_and_last_loss(
        model, model.vlm.model.text_model.layers, lambda: model(batch, TRAIN_SEED, True)[0]
    )
    assert last < 0.9 * first
    ids, wanted, boolean, picture, label = model.encode(batch, TRAIN_SEED)
    told = [tokenizer.decode([i]) for i in ids[torch.arange(len(ids)), boolean].tolist()]
    assert told == ["true" if d else "false" for d in label.tolist()]
    assert picture.max() < 3 * len(batch["kind"])
    answer = tokenizer.decode(ids[1][wanted[1].bool()])
    assert answer.startswith('{"Defective":true,"Description":["')
    assert answer.endswith('"]}<end_of_utterance>')
    assert place_of(batch["mask"].flatten(0, 1)[picture[1]]) in answer


def test_views_move_picture_and_mask_together() -> None:
    """What a view marks as defective is what it shows: the marked pixels differ from the clean picture's."""
    for index in range(12):
        clean, a, _ = triple(TRAIN_SEED, index, augment=True)
        if a.kind is not None and a.kind.name in ("third_eye", "split_ball", "half_dial", "three_arms"):
            difference = torch.tensor(list(a.image.tobytes())).float() - torch.tensor(
                list(clean.image.tobytes())
            )
            changed = difference.view(128, 128, 3).abs().amax(-1) > 60
            inside = changed & torch.tensor(a.mask)
            assert inside.sum() > 0.6 * changed.sum()
            return
    pytest.fail("no picture with a drawn defect among the first scenes")
