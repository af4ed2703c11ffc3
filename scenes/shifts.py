"""Shifts: the same scenes smaller, larger, moved, mirrored or degraded, to see what a model clings to."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Shift:
    """How a picture departs from the way it was laid out.

    `scale` multiplies the subjects' size and (dx, dy) moves them, in fractions of the picture; `mirror` flips
    the picture left to right (lettering stays readable); `blur` is a Gaussian's radius in pixels at 128 px; `jpeg`
    is a quality, 0 for none; `tint` multiplies R, G, B.
    """

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    mirror: bool = False
    blur: float = 0.0
    jpeg: int = 0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def halved(self) -> "Shift":
        """Half the zoom and half the move; the rest as it is."""
        return replace(self, scale=(1 + self.scale) / 2, dx=self.dx / 2, dy=self.dy / 2)


UNSHIFTED = Shift()
SHIFTS = ("smaller", "larger", "moved", "mirrored", "blurred", "jpeg", "tinted")


def shift_of(name: str, seed: int, index: int) -> Shift:
    """The shift of that name for one base scene, the same for all its arms."""
    rng = np.random.default_rng((seed, index, 97))
    if name == "moved":
        angle = rng.uniform(0, 2 * np.pi)
        return Shift(dx=float(0.11 * np.cos(angle)), dy=float(0.11 * np.sin(angle)))
    if name == "tinted":
        # One channel well up, one well down: beyond the drift of light that every picture has.
        return Shift(tint=tuple(rng.permutation((1.25, 0.95, 0.75)).tolist()))
    return {
        "smaller": Shift(scale=0.75),
        "larger": Shift(scale=1.3),
        "mirrored": Shift(mirror=True),
        "blurred": Shift(blur=1.2),
        "jpeg": Shift(jpeg=30),
    }[name]
