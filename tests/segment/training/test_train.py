"""The whole job: trained, killed and gone on with, kept, loaded, used."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file
from small_sam import save_sam

from flawscribe.errors import SetupError, UserError
from flawscribe.inputs import open_run
from flawscribe.records import MaskPrediction
from scenes.dataset import write_scenes
from segment.checkpoint import load_head, save_head
from segment.encoders import load_encoder
from segment.head import Seen, head_over
from segment.marking import Marking
from segment.predict import predict
from segment.stage import segment_run
from segment.train_command import train as verb
from segment.training.losses import Weights
from segment.training.train import Arguments, train
from segment.words import Words

pytestmark = pytest.mark.slow
QUICK = {"views": 2, "epochs": 3, "batch": 8}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("drawn") / "d", 40, seed=6)


@pytest.fixture(scope="module")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "head"
    train(Arguments(data=str(drawn), **QUICK), out)
    return out


def weights(head: Path) -> dict[str, torch.Tensor]:
    return load_file(head / "model.safetensors")


def test_a_head_with_its_card_and_curves(trained: Path) -> None:
    card = (trained / "CARD.md").read_text()
    told = json.loads((trained / "training.json").read_text())
    assert "nano's encoder was trained on drawn scenes" in card
    assert told["data"]["digest"] in card and "gIoU" in card and "curves.png" in card
    assert told["model"]["learnt_weights"] > 1_000_000 and 0 <= told["validation"]["giou"] <= 1
    with Image.open(trained / "curves.png") as curves:
        assert curves.width > 500
    assert len((trained / "log.jsonl").read_text().splitlines()) == told["model"]["epochs"] == 3
    assert f"kept_epoch            {told['model']['kept_epoch']}\n" in card
    assert told["data"]["with a quality"] == 40 and told["model"]["not_learnt"] == "nothing"
    assert not any(name.startswith("encoder.") for name in weights(trained))
    assert not list(trained.glob("*.pt"))


def test_the_same_command_again_does_nothing_and_another_is_refused(drawn: Path, trained: Path) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    figures = train(Arguments(data=str(drawn), **QUICK), trained)
    assert figures == json.loads((trained / "training.json").read_text())["validation"]
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"other settings \(rate\)"):
        train(Arguments(data=str(drawn), rate=1e-3, **QUICK), trained)
    with pytest.raises(UserError, match="something else than a training"):
        train(Arguments(data=str(drawn), **QUICK), drawn.parent)


def test_the_same_seed_is_the_same_head(drawn: Path, trained: Path, tmp_path: Path) -> None:
    train(Arguments(data=str(drawn), **QUICK), tmp_path / "b", cache=trained / "cache")
    first, second = weights(trained), weights(tmp_path / "b")
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not (tmp_path / "b" / "cache").exists()


def test_killed_at_any_instant_it_goes_on(drawn: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "head"
    command = [sys.executable, "-m", "flawscribe.cli", "train", "segment", str(drawn), "--encoder", "nano"]
    command += ["-o", str(out), "--views", "2", "--epochs", "3", "--batch", "8"]
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env)
    until = time.monotonic() + 120
    while not (out / "state.pt").exists() and time.monotonic() < until and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (out / "state.pt").exists() and not (out / "config.json").exists()
    assert subprocess.run(command, env=env, capture_output=True).returncode == 0
    assert [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3]
    first, second = weights(trained), weights(out)
    assert all(torch.allclose(first[k].float(), second[k].float(), atol=1e-3) for k in first)


def test_segment_takes_it_and_follows_words(drawn: Path, trained: Path, tmp_path: Path) -> None:
    run = open_run(str(drawn), str(tmp_path / "run"))
    assert segment_run(run, model=str(trained)).failed == 0
    row = run.latest("segment")["000000"]
    assert MaskPrediction.model_validate(row.record).quality is not None
    head = load_head(trained)
    image = Image.open(drawn.parent / "images" / "000001.png").convert("RGB")
    with torch.no_grad():  # as if it had learnt more from words than three epochs teach
        assert head.words is not None
        head.words[-1].weight.mul_(50)
    head.set_thresholds(0.2, 0.0)
    from segment.texts import embedder

    said = [Words(embedder("hashed")[0](["The left arm is missing."])[0]), None]
    told, silent = predict(head, [image, image], words=said)
    (plain,) = predict(head, [image])
    assert silent.rle == plain.rle != told.rle
    head.set_thresholds(0.2, 1.0)  # holds back what nobody described
    followed, held = predict(head, [image, image], words=said)
    assert followed.rle == told.rle and held.rle is None
    assert told.p_mask == pytest.approx(plain.p_mask) and told.quality == pytest.approx(plain.quality)


def test_what_was_not_taught_is_not_answered(drawn: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    rows = [json.loads(line) for line in drawn.read_text().splitlines()]
    for row in rows:
        del row["quality"]
        row["image"] = str(drawn.parent / row["image"])
        if row.get("mask"):
            row["mask"] = str(drawn.parent / row["mask"])
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = train(
        Arguments(data=str(data), views=1, epochs=1, weights=Weights(detection=0)), tmp_path / "head"
    )
    assert "auc" not in figures and "srcc" not in figures
    head = load_head(tmp_path / "head")
    assert head.config.unlearnt == ("presence", "quality") and head.config.presence_threshold == 0
    image = Image.open(drawn.parent / "images" / "000001.png").convert("RGB")
    (answer,) = predict(head, [image], Marking(presence=1.0))
    assert answer.p_mask is answer.quality is answer.quality_if_intended is None
    assert answer.rle is not None or answer.area == 0


def test_a_sam_checkpoint_and_pictures_of_any_shape(tmp_path: Path) -> None:
    sam = save_sam(tmp_path / "sam")
    rows = []
    (tmp_path / "d").mkdir()
    for i in range(12):
        rng = np.random.default_rng(i)
        size = (90, 50) if i % 3 else (40, 130)
        blobs = Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8)).resize(size)
        mask = np.zeros((size[1], size[0]), np.uint8)
        mask[5:25, 5:30] = 255
        blobs.save(tmp_path / "d" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "d" / f"{i}-mask.png")
        more = {"mask": f"{i}-mask.png", "descriptions": ["A hole."]} if i % 2 else {}
        rows.append(
            {"id": str(i), "image": f"{i}.png", "defective": bool(i % 2), "quality": 2 + i % 2} | more
        )
    (tmp_path / "d" / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    result = CliRunner().invoke(
        verb,
        ["segment", str(tmp_path / "d"), "--encoder", str(sam), "-o", str(tmp_path / "head"), "--epochs", "2",
         "--views", "1", "--validation", "0.4", "--json"],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0 and 0 <= json.loads(result.stdout.splitlines()[-1])["giou"] <= 1
    head = load_head(tmp_path / "head")
    (answer,) = predict(head, [Image.new("RGB", (70, 200))])
    assert answer.p_mask is not None
    shutil.rmtree(sam)
    with pytest.raises(
        SetupError, match=r"the encoder of .* cannot be loaded: no encoder .*under encoder\.name"
    ):
        load_head(tmp_path / "head")
    save_sam(sam)
    other = load_file(sam / "model.safetensors")
    save_file({k: v + 1 for k, v in other.items()}, sam / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SetupError, match="trained over other weights"):
        load_head(tmp_path / "head")


def test_a_new_head_starts_from_the_checkpoints_decoder(tmp_path: Path) -> None:
    encoder = load_encoder(str(save_sam(tmp_path / "sam")))
    head, decoder = head_over(encoder).eval(), encoder.decoder()
    for name, tensor in decoder.mask_decoder.state_dict().items():
        assert torch.equal(head.decoder.state_dict()[name], tensor)
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        fine, plain = head(pixels), head.decode(Seen(head.embed(pixels)))
    assert fine.mask.shape == (2, 128, 128) and plain.mask.shape == (2, 32, 32)
    large = torch.nn.functional.interpolate(plain.mask[:, None], size=128, mode="bilinear")[:, 0]
    assert torch.allclose(fine.mask, large, atol=1e-4)  # an untrained branch changes nothing


@pytest.mark.parametrize("damage", ["truncated", "shape", "missing", "huge", "threshold"])
def test_a_damaged_checkpoint_is_one_line(trained: Path, tmp_path: Path, damage: str) -> None:
    head = tmp_path / "head"
    head.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / name, head / name)
    config = json.loads((head / "config.json").read_text())
    if damage == "truncated":
        content = (head / "model.safetensors").read_bytes()
        (head / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif damage == "shape":
        config["text"]["width"] = 100
    elif damage == "missing":
        config["text"] = None
    elif damage == "huge":
        config["decoder"]["mlp_dim"] = 10**12
    else:
        config["mask_threshold"] = 7
    (head / "config.json").write_text(json.dumps(config))
    with pytest.raises(SetupError, match="holds no defect head") as caught:
        load_head(head)
    assert "\n" not in str(caught.value)


def test_saving_and_loading_keeps_what_it_answers(trained: Path, tmp_path: Path) -> None:
    head = load_head(trained)
    save_head(head, tmp_path / "again")
    image = Image.new("RGB", (100, 80), (200, 30, 30))
    assert predict(head, [image]) == predict(load_head(tmp_path / "again"), [image])


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"{}"])
@pytest.mark.parametrize("name", ["plan.json", "training.json"])
def test_a_finished_training_that_is_damaged(
    drawn: Path, trained: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    out = Path(shutil.copytree(trained, tmp_path / "head", ignore=shutil.ignore_patterns("cache")))
    (out / name).write_bytes(content)
    with pytest.raises(UserError, match="--force"):
        train(Arguments(data=str(drawn), **QUICK), out, cache=trained / "cache")


@pytest.mark.parametrize("broken", ["state.pt", "best.pt"])
def test_a_state_that_is_damaged_is_told_before_an_epoch(
    drawn: Path, trained: Path, tmp_path: Path, broken: str
) -> None:
    out = Path(shutil.copytree(trained, tmp_path / "head", ignore=shutil.ignore_patterns("cache")))
    (out / "config.json").unlink()
    for name in ("state.pt", "best.pt"):
        torch.save({}, out / name)
    (out / broken).write_bytes(b"\x80\x02garbage")
    with pytest.raises(SetupError, match=r"state\.pt or best\.pt .* is damaged; --force"):
        train(Arguments(data=str(drawn), **QUICK), out, cache=trained / "cache")
