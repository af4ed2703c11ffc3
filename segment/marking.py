"""How answers become masks: what decides a mask beside the picture and the model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Marking:
    """`threshold` is the probability from which a pixel is marked, `presence` the P(defective) below which none is.

    The model's own where None (a head's stand in its checkpoint, SAM's is 0.5). `tiles` squares along the longer side
    are looked at besides the whole picture, unless 1. With `components` each connected region is an instance too.
    """

    threshold: float | None = None
    presence: float | None = None
    tiles: int = 1
    components: bool = False
