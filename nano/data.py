"""Training pictures: each base scene clean and with both of its defects, moved, zoomed and degraded alike."""

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from nano.build import SIDE
from scenes.draw import Picture, choose, draw_picture
from scenes.subjects import KINDS

TRAIN_SEED, VALIDATION_SEED = 20_001, 20_002
GRID = 32  # side of the label maps: a quarter of the picture's, as SAM's masks are
KIND_NAMES = tuple(KINDS)
QUALITY = {None: 4.5, "moderate": 3.1, "severe": 2.2}
_PAD = 48


@dataclass(frozen=True)
class View:
    """One augmentation, the same for all pictures of a base scene: a window and a degradation."""

    box: tuple[float, float, float]
    mirror: bool
    blur: float
    jpeg: int
    tint: tuple[float, float, float]


def random_view(rng: np.random.Generator) -> View:
    """Zoom 0.7–1.35, shift, mirror, blur, JPEG and tint, each often mild or absent."""
    side = SIDE / rng.uniform(0.7, 1.35) if rng.random() < 0.8 else SIDE
    slack = min(abs(side - SIDE) / 2 + 14, (SIDE + 2 * _PAD - side) / 2)
    centre = _PAD + SIDE / 2 + rng.uniform(-1, 1, 2) * slack * 0.9
    return View(
        box=(float(centre[0] - side / 2), float(centre[1] - side / 2), float(side)),
        mirror=bool(rng.random() < 0.5),
        blur=float(rng.uniform(0.4, 1.2)) if rng.random() < 0.2 else 0.0,
        jpeg=int(rng.integers(25, 96)) if rng.random() < 0.3 else 0,
        tint=tuple(rng.uniform(0.85, 1.12, 3).tolist()) if rng.random() < 0.3 else (1.0, 1.0, 1.0),
    )


IDENTITY = View((_PAD, _PAD, SIDE), False, 0.0, 0, (1.0, 1.0, 1.0))


def look(picture: Picture, view: View) -> Picture:
    """The picture as seen through a view: image, parts and mask move together, borders are repeated."""
    x, y, side = view.box
    box = (x, y, x + side, y + side)
    pads = ((_PAD, _PAD), (_PAD, _PAD))
    image = Image.fromarray(np.pad(np.asarray(picture.image), (*pads, (0, 0)), mode="edge"), "RGB")
    parts = Image.fromarray(np.pad(picture.parts, pads, mode="edge"))
    mask = Image.fromarray(np.pad(picture.mask, pads).astype(np.uint8) * 255)
    size = (SIDE, SIDE)
    image = image.resize(size, Image.Resampling.BILINEAR, box=box)
    parts = parts.resize(size, Image.Resampling.NEAREST, box=box)
    mask = mask.resize(size, Image.Resampling.BILINEAR, box=box)
    if view.mirror:
        image, parts, mask = (i.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for i in (image, parts, mask))
    if view.blur:
        image = image.filter(ImageFilter.GaussianBlur(view.blur))
    if view.tint != (1.0, 1.0, 1.0):
        tinted = np.asarray(image, dtype=np.float32) * np.array(view.tint, dtype=np.float32)
        image = Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8), "RGB")
    if view.jpeg:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=view.jpeg)
        image = Image.open(buffer).convert("RGB")
    return replace(picture, image=image, parts=np.asarray(parts), mask=np.asarray(mask) >= 128)


def triple(seed: int, index: int, augment: bool) -> list[Picture]:
    """Base scene `index` clean, with its defect A and with its defect B, all through one view.

    A view that would push most of a defect out of sight is not taken.
    """
    _, a, b = choose(seed, index)
    plain = [draw_picture(seed, index, kind, SIDE) for kind in (None, a, b)]
    if not augment:
        return plain
    view = random_view(np.random.default_rng((seed, index, 77)))
    seen = [look(p, view) for p in plain]
    scale = (SIDE / view.box[2]) ** 2
    if any(s.mask.sum() < 0.55 * scale * p.mask.sum() for s, p in zip(seen[1:], plain[1:], strict=True)):
        seen = [look(p, replace(view, box=IDENTITY.box)) for p in plain]
    return seen


class Triples:
    """Base scenes of one seed as arrays of three pictures each.

    `index` int64 (), the base scene's; `image` uint8 (3, h, w, 3) RGB; `parts` uint8 (3, 32, 32);
    `mask` float32 (3, 32, 32), the covered share of each cell; `kind` int64 (3,), an index into
    KIND_NAMES or -1; `quality` float32 (3,).
    """

    def __init__(self, seed: int, start: int, stop: int, augment: bool) -> None:
        self.seed, self.start, self.stop, self.augment = seed, start, stop, augment

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, at: int) -> dict[str, np.ndarray]:
        if not 0 <= at < len(self):
            raise IndexError(at)
        pictures = triple(self.seed, self.start + at, self.augment)
        step = SIDE // GRID
        return {
            "index": np.array(self.start + at),
            "image": np.stack([np.asarray(p.image) for p in pictures]),
            "parts": np.stack([p.parts[step // 2 :: step, step // 2 :: step] for p in pictures]),
            "mask": np.stack(
                [p.mask.reshape(GRID, step, GRID, step).mean((1, 3), dtype=np.float32) for p in pictures]
            ),
            "kind": np.array([KIND_NAMES.index(p.kind.name) if p.kind else -1 for p in pictures]),
            "quality": np.array(
                [QUALITY[p.kind.severity if p.kind else None] for p in pictures], dtype=np.float32
            ),
        }
