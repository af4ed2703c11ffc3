"""Images in, `MaskPrediction`s out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flawscribe.images import Box
from flawscribe.records import RLE, MaskPrediction
from segment.components import components
from segment.encoders.base import frame
from segment.head import DefectHead
from segment.marking import Marking
from segment.postprocess import Enlarged, logit, marked
from segment.rle import area_of, encode_runs, union
from segment.tiles import Tile, merged, tile_boxes
from segment.words import Words, lies, row, silence

_MOST = 16  # frames in a batch
_PIXELS = {"cpu": 2**20, "cuda": 2**23}  # of a batch's frames: one of SAM's, or eight


@dataclass(frozen=True)
class _View:
    """A frame's answers: of image number `image`, or of its part in `box`.

    `taken` is its (height, width) in the frame, `size` in pixels of the image; `told` whether its mask follows words.
    """

    image: int
    box: Box | None
    taken: tuple[int, int]
    size: tuple[int, int]
    mask: Tensor
    presence: float
    quality: tuple[float, float]
    told: bool


def predict(
    head: DefectHead,
    images: Sequence[Image.Image],
    marking: Marking | None = None,
    words: Sequence[Words | None] | None = None,
) -> list[MaskPrediction]:
    """The head's answers for RGB images of any sizes; masks at each image's own size.

    `words` are the descriptions that a conditional head's masks follow, None for none.
    Whoever described a defect has decided that there is one: P(defective) holds no such mask back.
    P(defective) is the whole picture's or, where it is higher, a tile's; the qualities are the whole picture's. What
    the head was not taught is None, and decides nothing.
    """
    marking = marking or Marking()
    views = _views(head, images, marking.tiles, words)
    return [_answer(head, list(own), marking) for _, own in groupby(views, key=lambda view: view.image)]


def frames_at_once(side: int, device: str) -> int:
    """How many frames of `side` pixels go through an encoder together."""
    return min(_MOST, max(1, _PIXELS.get(device, _PIXELS["cpu"]) // side**2))


def _views(
    head: DefectHead, images: Sequence[Image.Image], tiles: int, words: Sequence[Words | None] | None
) -> Iterator[_View]:
    """The answers for each picture as a whole and then for its tiles, picture by picture."""
    device = next(head.parameters()).device
    parts, at_once = _parts(images, tiles), frames_at_once(head.side, device.type)
    while batch := list(islice(parts, at_once)):
        frames, taken = zip(*(frame(part, head) for _, _, part in batch), strict=True)
        told = None
        if words is not None and head.config.text is not None:
            rows = [
                _row(head, words[i], box, images[i], t) for (i, box, _), t in zip(batch, taken, strict=True)
            ]
            told = torch.from_numpy(np.stack(rows)).to(device)
        with torch.inference_mode():
            out = head(torch.stack(frames).to(device), told, taken)
            mask, presence, quality = (
                out.mask.float().cpu(),
                out.presence.sigmoid().tolist(),
                out.quality.tolist(),
            )
        for n, (i, box, part) in enumerate(batch):
            size = (part.height, part.width)
            follows = told is not None and bool(told[n].any())
            both = quality[n][0], quality[n][1]
            yield _View(i, box, taken[n], size, mask[n], presence[n], both, follows)


def _row(
    head: DefectHead, words: Words | None, box: Box | None, image: Image.Image, taken: tuple[int, int]
) -> np.ndarray:
    assert head.config.text is not None
    if words is None:
        return silence(head.config.text.width)
    shown = box or (0, 0, image.width, image.height)
    return row(words, lies(shown, (image.height, image.width), taken, head.side))


def _parts(images: Iterable[Image.Image], tiles: int) -> Iterator[tuple[int, Box | None, Image.Image]]:
    for i, image in enumerate(images):
        yield i, None, image
        for box in tile_boxes(*image.size, tiles) if tiles > 1 else ():
            yield i, box, image.crop(box)


def _answer(head: DefectHead, views: list[_View], marking: Marking) -> MaskPrediction:
    """One picture's answer from its views, the whole picture's first."""
    config, whole = head.config, views[0]
    threshold = config.mask_threshold if marking.threshold is None else marking.threshold
    presence = config.presence_threshold if marking.presence is None else marking.presence
    found: list[RLE | None] = []
    if not head.learnt("presence"):
        presence = 0.0
    if whole.told or whole.presence >= presence:
        found.append(encode_runs(marked(_enlarged(head, whole), logit(threshold), whole.size)))
    tiles = [
        Tile(view.box, _enlarged(head, view) if view.presence >= presence else None)
        for view in views[1:]
        if view.box is not None
    ]
    if any(tile.logits for tile in tiles):
        found.append(encode_runs(merged(tiles, threshold, whole.size)))
    rle = union([one for one in found if one is not None])
    return MaskPrediction(
        rle=rle,
        p_mask=max(view.presence for view in views) if head.learnt("presence") else None,
        quality=whole.quality[0] if head.learnt("quality") else None,
        quality_if_intended=whole.quality[1] if head.learnt("quality") else None,
        area=area_of(rle) / (whole.size[0] * whole.size[1]) if rle else 0.0,
        instances=components(rle) if marking.components else (),
    )


def _enlarged(head: DefectHead, view: _View) -> Enlarged:
    return Enlarged(view.mask, head.side, view.taken, view.size)
