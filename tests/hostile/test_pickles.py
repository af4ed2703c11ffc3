"""A pickle is a program: wherever one may turn up, it is not run."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from flawscribe.errors import SetupError
from flawscribe.models import resolve_model
from nano.loop import fit, optimisers
from segment.checkpoint import load_head

NANO = Path(resolve_model("nano").path)


class Program:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, left: Path) -> None:
        self._left = left

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._left,)


def plant(path: Path, left: Path, by_torch: bool) -> None:
    if by_torch:
        torch.save({"model": Program(left), "model.embed_tokens.weight": Program(left)}, path)
    else:
        path.write_bytes(pickle.dumps(Program(left)))


def test_what_is_planted_runs_where_it_is_let(tmp_path: Path) -> None:
    plant(tmp_path / "a.pt", tmp_path / "left", by_torch=True)
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "left").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "training_args.bin"])
def test_a_model(tmp_path: Path, name: str) -> None:
    """Beside the weights a pickle is passed over, in their place it is refused."""
    model, left = tmp_path / "model", tmp_path / "left"
    shutil.copytree(NANO, model)
    if name == "pytorch_model.bin":
        (model / "model.safetensors").unlink()
    plant(model / name, left, by_torch=name != "model.safetensors")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    command = ["describe", "m.jsonl", "-o", "run", "--model", str(model), "--engine", "transformers"]
    (tmp_path / "m.jsonl").write_text('{"id": "a", "image": "a.png"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "flawscribe.cli", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == (0 if name == "training_args.bin" else 3), done.stderr
    if done.returncode:
        assert done.stderr.strip().splitlines()[-1].startswith("flawscribe: cannot load the model")
    assert "Traceback" not in done.stderr and not left.exists()


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_mask_head(tmp_path: Path, by_torch: bool) -> None:
    shutil.copytree(NANO.parent / "head", tmp_path / "head")
    plant(tmp_path / "head" / "model.safetensors", tmp_path / "left", by_torch)
    with pytest.raises(SetupError, match="holds no defect head"):
        load_head(tmp_path / "head")
    assert not (tmp_path / "left").exists()


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_checkpoint_that_training_would_go_on_from(tmp_path: Path, by_torch: bool) -> None:
    plant(tmp_path / "small.pt", tmp_path / "left", by_torch)
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(SetupError, match=r"cannot go on from .*small\.pt: .*Delete it"):
        fit("small", model, optimisers(model, model, 1e-3), lambda b, s: {}, dict, tmp_path, (1,), workers=0)
    assert not (tmp_path / "left").exists()
