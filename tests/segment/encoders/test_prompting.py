"""Every family takes boxes and points through the same two ways without training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscribe.records import Description, Finding
from segment import automatic
from segment.automatic import Automatic
from segment.encoders import load_encoder
from segment.prompted import Prompted

IMAGE = Image.fromarray(np.random.default_rng(3).integers(0, 255, (70, 110, 3), np.uint8))
FINDINGS = tuple(
    Finding(text=str(n), box=box) for n, box in enumerate([(5.0, 5.0, 60.0, 40.0), (0.0, 0.0, 110.0, 70.0)])
)
SAID = Description(defective=True, text="Two.", findings=FINDINGS)


def test_directories_of_every_family(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "_LEAST_SCORE", -1e9)  # random weights are never sure
    monkeypatch.setattr(automatic, "_LEAST_STABILITY", 0.0)
    monkeypatch.setattr(automatic, "POINTS", 3)
    encoder = load_encoder(str(directory))
    for answer in (Prompted(encoder).described(IMAGE, SAID), Automatic(encoder).described(IMAGE, SAID)):
        assert all(instance.rle.size == (70, 110) for instance in answer.instances)
        assert all(0 <= (instance.score or 0) <= 1 for instance in answer.instances)
        assert {instance.text for instance in answer.instances} <= {"0", "1"}


def test_metas_own_files(pth: Path) -> None:
    answer = Prompted(load_encoder(str(pth))).described(IMAGE, SAID)
    assert all(instance.rle.size == (70, 110) for instance in answer.instances)
