"""SAM's automatic masks, ranked by a description. A heuristic: no step compares what is drawn with what is said.

A grid of points prompts SAM for three masks each; those whose outline SAM is sure of and that do not hang on the
threshold are kept (as in SAM's own mask generator, Kirillov et al. 2023, appendix B), doubles are dropped, and each
place that the description names takes the best one left that lies there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from flawscribe.records import Description, MaskPrediction
from segment.components import instance
from segment.encoders import Encoder, Features, frame_points
from segment.places import Place, places
from segment.postprocess import Enlarged, logit, marked
from segment.prompted import encoded, prompts_at_once, together
from segment.rle import encode_runs

POINTS = 32  # a side
_LEAST_SCORE, _LEAST_STABILITY, _OFFSET = 0.88, 0.95, 1.0
_DOUBLE = 0.7  # IoU of boxes
_MOST = 200  # proposals kept of a picture
_LEAST_INSIDE = 0.5  # share of a mask that must lie in the half or quarter that words name


@dataclass(frozen=True)
class Proposals:
    """Masks of one picture, best first: `logits` float32 (n, s, s) over the frame, `scores` (n,) in [0, 1]."""

    logits: Tensor
    scores: Tensor


class Automatic:
    """A SAM checkpoint's encoder and decoder, asked by a grid of points."""

    def __init__(self, encoder: Encoder, threshold: float | None = None) -> None:
        self.encoder, self.decoder = encoder, encoder.decoder()
        self._threshold = logit(0.5 if threshold is None else threshold)

    def described(self, image: Image.Image, description: Description) -> MaskPrediction:
        """The best mask of an RGB image for each place that the description names, and their union.

        An instance's `score` is SAM's own estimate of its IoU, its `text` the finding's or sentence's. A description
        that names no place, or finds nothing there, has an empty mask.
        """
        size = (image.height, image.width)
        if not (named := places(description, size)):
            return MaskPrediction()
        features, taken = encoded(self.encoder, image)
        found = self.proposals(features, taken, size)
        instances = []
        for place, n in chosen(self._shapes(found, taken), found.scores.numpy(), named):
            enlarged = Enlarged(found.logits[n], self.encoder.side, taken, size)
            if (rle := encode_runs(marked(enlarged, self._threshold, size))) is not None:
                instances.append(instance(rle, float(found.scores[n]), place.text))
        return together(instances)

    def proposals(self, features: Features, taken: tuple[int, int], size: tuple[int, int]) -> Proposals:
        """The masks that a picture's features give; `taken` and `size` are its (height, width) in the frame and itself.

        No more than some hundreds are held, all of them at the decoder's own size.
        """
        at = (torch.arange(POINTS) + 0.5) / POINTS
        x, y = torch.meshgrid(at * size[1], at * size[0], indexing="xy")
        points = frame_points(torch.stack([x, y], -1).reshape(-1, 1, 2), taken, size)
        logits, scores = torch.zeros(0, *[4 * self.encoder.grid] * 2), torch.zeros(0)
        for some in points.split(prompts_at_once(self.encoder)):
            more, sure = self._decode(features, some, taken)
            logits, scores = self._best(torch.cat([logits, more]), torch.cat([scores, sure]), taken)
        return Proposals(logits, scores)

    def _decode(self, features: Features, points: Tensor, taken: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Those of the points' masks that pass, with their scores, on the CPU."""
        device = self.encoder.device
        with torch.inference_mode():
            masks, scores = self.decoder.masks(
                features,
                points=points[None].to(device),
                labels=torch.ones(1, len(points), 1, dtype=torch.int, device=device),
                multimask=True,
            )
        masks, scores = masks.flatten(0, 2).float(), scores.flatten().float()
        some = scores >= _LEAST_SCORE
        masks, scores = masks[some], scores[some]
        inner = self._inner(masks, taken)
        wide, narrow = ((inner >= self._threshold + by).flatten(1).sum(1) for by in (-_OFFSET, _OFFSET))
        some = (narrow >= _LEAST_STABILITY * wide) & (narrow > 0)
        return masks[some].cpu(), scores[some].clamp(0, 1).cpu()

    def _best(self, logits: Tensor, scores: Tensor, taken: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The best of the masks, without doubles."""
        keep = nms(_boxes(self._inner(logits, taken) >= self._threshold), scores, _DOUBLE)[:_MOST]
        return logits[keep], scores[keep]

    def _inner(self, masks: Tensor, taken: tuple[int, int]) -> Tensor:
        """The part of masks (n, s, s) that the picture takes, at least a pixel."""
        height, width = (max(1, -(-side // 4)) for side in taken)
        return masks[:, :height, :width]

    def _shapes(self, found: Proposals, taken: tuple[int, int]) -> np.ndarray:
        """bool (n, h, w): the proposals at the decoder's own size, without the frame's padding."""
        return (self._inner(found.logits, taken) >= self._threshold).numpy()


def _boxes(masks: Tensor) -> Tensor:
    """float32 (n, 4): x0, y0, x1, y1 of bool masks (n, h, w) that each mark something."""
    sides = []
    for axis in (1, 2):  # across rows gives x, across columns y
        line = masks.any(axis).int()
        sides.append((line.argmax(1), line.shape[1] - line.flip(1).argmax(1)))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], 1).float()


def chosen(shapes: np.ndarray, scores: np.ndarray, named: list[Place]) -> list[tuple[Place, int]]:
    """The number of the mask that each place takes, none twice; a place where none lies takes none.

    `shapes` is bool (n, h, w), `scores` (n,). A box takes the mask with the highest IoU times score; words the one
    with the highest share inside their half or quarter times score, of those with half of themselves inside.
    """
    taken: set[int] = set()
    found = []
    for place in named:
        fits = _fits(shapes, place) * scores
        fits[list(taken)] = 0
        if len(fits) and fits.max() > 0:
            n = int(fits.argmax())
            taken.add(n)
            found.append((place, n))
    return found


def _fits(shapes: np.ndarray, place: Place) -> np.ndarray:
    """(n,): how well each mask fits the place, in [0, 1]."""
    _, height, width = shapes.shape
    x0, y0, x1, y1 = place.region
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    region = ((rows >= y0) & (rows < y1))[:, None] & ((columns >= x0) & (columns < x1))
    inside = (shapes & region).sum((1, 2)).astype(float)
    areas = shapes.sum((1, 2))
    if place.exact:
        return inside / np.maximum(areas + region.sum() - inside, 1)
    share = inside / np.maximum(areas, 1)
    return np.where(share >= _LEAST_INSIDE, share, 0)
