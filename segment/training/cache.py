"""What the decoder learns from, computed once: embeddings, pixels and masks of every view, on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_image
from segment.encoders.base import Encoder, inside
from segment.head import Seen
from segment.importers.mask_files import read_mask
from segment.predict import frames_at_once
from segment.sharpness import sharpness
from segment.training.data import Example
from segment.training.store import Store, key
from segment.training.views import framed_mask, framed_view, shares, view_of

_FORM = "1"  # of what is kept: another number where it is computed in another way
Item = tuple[Example, int]  # an example and the number of its view


@dataclass(frozen=True)
class Batch:
    """b views, on the device: what the head sees of them, `mask` (b, m, m) the defective share of each cell, `inside`
    (b, m, m) 1 where the picture is, 0 in the frame's padding."""

    seen: Seen
    mask: Tensor
    inside: Tensor


class Cache:
    """The kept arrays of views, for one encoder: float16 embeddings, uint8 pixels, uint8 masks.

    An embedding is kept by the image's digest, the view and the encoder's digest: it serves every training over
    the same pictures. `side` is that of the masks, `detail` whether pixels are kept as well. Each of several processes
    (`seat`) writes files of its own and reads all of them.
    """

    def __init__(
        self, folder: Path, encoder: Encoder, side: int, detail: bool, seat: int = 0, seats: int = 1
    ) -> None:
        self._encoder, self.side, self._seat, self._seats = encoder, side, seat, seats
        small = (encoder.width, encoder.grid, encoder.grid)
        kinds: dict[str, tuple[tuple[int, ...], str]] = {
            "embedding": (small, "float16"),
            "mask": ((side, side), "uint8"),
        }
        if detail:
            kinds["detail"] = ((3, side, side), "uint8")
        self._detail = detail
        self._stores = {
            (kind, s): Store(folder / f"{kind}-{encoder.digest[:16]}-{side}-{s}", shape, dtype)
            for kind, (shape, dtype) in kinds.items()
            for s in range(seats)
        }
        self._kinds = tuple(kinds)
        self._keys: dict[tuple[str, int], dict[str, str]] = {}

    def fill(self, items: Sequence[Item]) -> int:
        """Compute what is not there yet of this seat's share of `items`; returns how many views were encoded."""
        missing = [i for i in items if not all((k, v) in self for k, v in self._of(i).items())]
        missing.sort(key=lambda i: i[0].id)  # an image is opened once for all its views
        ids = {id: n for n, id in enumerate(dict.fromkeys(e.id for e, _ in missing))}
        mine = [i for i in missing if ids[i[0].id] % self._seats == self._seat]
        opened: tuple[str, Image.Image, np.ndarray | None] | None = None
        ready: list[tuple[Item, Tensor, np.ndarray]] = []
        done, batch = 0, frames_at_once(self._encoder.side, self._encoder.device.type)
        with tqdm(total=len(mine), desc="encoding", unit="view", delay=2, disable=self._seat > 0) as bar:
            for example, number in mine:
                if opened is None or opened[0] != example.id:
                    opened = example.id, *_open(example)
                view = view_of(example, number)
                framed = framed_view(opened[1], view, self._encoder)
                ready.append(
                    ((example, number), framed, framed_mask(opened[2], view, self._encoder, self.side))
                )
                if len(ready) == batch:
                    self._encode(ready)
                    done += len(ready)
                    bar.update(len(ready))
                    ready = []
            if ready:
                self._encode(ready)
                done += len(ready)
                bar.update(len(ready))
        return done

    def reopen(self) -> None:
        """Take in what other processes have written."""
        for store in self._stores.values():
            store.reopen()

    def batch(self, items: Sequence[Item], device: torch.device) -> Batch:
        """The kept arrays of items as tensors."""
        embedding = torch.from_numpy(self._get("embedding", items)).to(device).float()
        mask = torch.from_numpy(self._get("mask", items)).to(device).float() / 255
        within, taken = torch.zeros_like(mask), tuple(shares(view_of(*i), self._encoder) for i in items)
        for i, share in enumerate(taken):
            rows, columns = inside(share, self.side)
            within[i, :rows, :columns] = 1
        detail = sharp = None
        if self._detail:
            detail = self._pixels(items, device) * within[:, None]
            # A view is a crop enlarged, and so less sharp than the picture that the quality was given to.
            whole = [(example, 0) for example, _ in items]
            sharp = torch.stack(
                [
                    sharpness(pixels[:, :rows, :columns])
                    for pixels, item in zip(self._pixels(whole, device), whole, strict=True)
                    for rows, columns in [inside(shares(view_of(*item), self._encoder), self.side)]
                ]
            )
        return Batch(Seen(embedding, detail, sharp, taken), mask, within)

    def _pixels(self, items: Sequence[Item], device: torch.device) -> Tensor:
        mean, std = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in (self._encoder.mean, self._encoder.std)
        )
        return (torch.from_numpy(self._get("detail", items)).to(device).float() / 255 - mean) / std

    def __contains__(self, kind_key: tuple[str, str]) -> bool:
        kind, k = kind_key
        return any(k in store for (name, _), store in self._stores.items() if name == kind)

    def _get(self, kind: str, items: Sequence[Item]) -> np.ndarray:
        keys = [self._of(i)[kind] for i in items]
        stores = [store for (name, _), store in self._stores.items() if name == kind]
        if len(stores) == 1:
            return stores[0].get(keys)
        return np.concatenate([next(s for s in stores if k in s).get([k]) for k in keys])

    def _of(self, item: Item) -> dict[str, str]:
        example, number = item
        if (found := self._keys.get((example.id, number))) is None:
            view = view_of(example, number)
            picture = key(_FORM, example.digest, view.key, self._encoder.digest)
            found = {"embedding": picture, "mask": key(picture, example.mask_digest or "")}
            if self._detail:
                found["detail"] = picture
            self._keys[example.id, number] = found
        return found

    @torch.inference_mode()
    def _encode(self, ready: list[tuple[Item, Tensor, np.ndarray]]) -> None:
        frames = torch.stack([f for _, f, _ in ready])
        arrays = {
            "embedding": self._encoder(frames.to(self._encoder.device)).cpu().half().numpy(),
            "mask": np.stack([m for *_, m in ready]),
        }
        if self._detail:
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self._encoder.mean, self._encoder.std))
            small = torch.nn.functional.interpolate(frames * std + mean, size=self.side, mode="area")
            arrays["detail"] = (small.clamp(0, 1) * 255).round().byte().numpy()
        for kind in self._kinds:
            keys = [self._of(item)[kind] for item, *_ in ready]
            new: dict[str, int] = {}  # the same picture twice is kept once
            for i, k in enumerate(keys):
                if (kind, k) not in self:
                    new.setdefault(k, i)
            if new:
                self._stores[kind, self._seat].put(list(new), arrays[kind][list(new.values())])


def _open(example: Example) -> tuple[Image.Image, np.ndarray | None]:
    try:
        image = load_image(example.image)
        return image, read_mask(example.mask, image.size) if example.mask else None
    except ImageFailure as e:  # it was there a minute ago
        raise UserError(f"{example.id}: {e}") from e
