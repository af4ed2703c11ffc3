"""The quick ways give what the obvious slow ones give, and their memory stays flat."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn.functional import interpolate

from segment.postprocess import Enlarged, cut, logit, marked
from segment.rle import decode, encode, encode_runs

SIZES = st.tuples(st.integers(1, 200), st.integers(1, 200))


def slowly(logits: torch.Tensor, side: int, taken: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Everything at full size, as SAM's own code does it."""
    framed = interpolate(logits[None, None], size=(side, side), mode="bilinear", align_corners=False)
    inner = framed[..., : taken[0], : taken[1]]
    return interpolate(inner, size=size, mode="bilinear", align_corners=False)[0, 0]


@settings(deadline=None)
@given(
    arrays(np.float32, (16, 16), elements=st.floats(-8, 8, width=32)),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
    SIZES,
    st.floats(-4, 4),
)
def test_enlarging_in_windows_and_bands_is_enlarging(
    values: np.ndarray, taken: tuple[int, int], size: tuple[int, int], threshold: float
) -> None:
    logits = torch.from_numpy(values)
    whole = slowly(logits, 64, taken, size)
    runs = marked(Enlarged(logits, 64, taken, size), threshold, size)
    rle = encode_runs(runs)
    mask = decode(rle) if rle else np.zeros(size, bool)
    differ = mask != (whole >= threshold).numpy()
    assert (abs(whole.numpy()[differ] - threshold) < 1e-3).all()  # but for float32's rounding


@given(arrays(bool, SIZES), st.integers(1, 50))
def test_cutting_in_bands_is_encoding_the_whole(mask: np.ndarray, band: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segment.postprocess._BAND", band)
        runs = cut(lambda x0, x1: mask.T[x0:x1].astype(np.float32), 0.5, mask.shape)
    assert encode_runs(runs) == encode(mask)
    assert runs.area == mask.sum()


def test_thresholds_at_the_ends_mark_everything_and_nothing() -> None:
    enlarged = Enlarged(torch.zeros(8, 8), 32, (32, 16), (50, 25))
    assert marked(enlarged, logit(0), (50, 25)).area == 50 * 25
    assert marked(enlarged, logit(1), (50, 25)).area == 0


MEASURED = """
import resource, torch
from segment.components import components
from segment.postprocess import Enlarged, marked
from segment.rle import encode_runs, union

torch.manual_seed(0)
def masks(n, size):
    kept = []
    for i in range(n):
        rough = torch.randn(1, 1, 12, 12)
        logits = torch.nn.functional.interpolate(rough, (256, 256), mode="bicubic")[0, 0]
        kept.append(encode_runs(marked(Enlarged(logits, 1024, (768, 1024), size), 0.0, size)))
    components(union(kept))
    return kept

masks(2, (300, 400))  # libraries are loaded, their buffers made
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = masks(%d, (3024, 4032))
assert all(rle.size == (3024, 4032) for rle in found)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_masks_of_large_pictures() -> None:
    def peak(n: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED % n], capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    few, many = peak(5), peak(100)
    assert many < 600  # MB; at full size as float32 one mask is 49 MB
    assert many - few < 50


PROMPTED = """
import resource, sys
from pathlib import Path
from PIL import Image
from flawscribe.records import Description, Finding
from segment.encoders import load_encoder
from segment.prompted import Prompted, encoded
from small_sam import save_sam

sam = Prompted(load_encoder(str(save_sam(Path(sys.argv[1]) / "sam", side=1024))))
image = Image.effect_noise((4032, 3024), 60).convert("RGB")
boxes = [(40.0 * n, 20.0 * n, 40.0 * n + 900, 20.0 * n + 900) for n in range(100)]
found = tuple(Finding(text=str(n), box=box) for n, box in enumerate(boxes))
sam.described(image, Description(defective=True, text="one", findings=found[:1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = sam.described(image, Description(defective=True, text="all", findings=found))
assert len(answer.instances) == 100 and answer.rle.size == (3024, 4032)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_a_hundred_prompts_on_a_large_picture_take_little_more_than_one(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROMPTED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert float(done.stdout) < 600  # MB
