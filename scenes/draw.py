"""One picture and one scene from one seed."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from scenes import words
from scenes.kinds import Kind, Subject
from scenes.settings import background
from scenes.subjects import SUBJECTS

# Which random stream serves what: a defect changes none of them, so that a pair differs in its defect alone.
_SETTING, _SUBJECT, _STYLE, _CHOICE, _WORDS = range(5)


@dataclass(frozen=True)
class Picture:
    """RGB `image`, `parts` uint8 (h, w) indices into `canvas.PARTS`, `mask` bool (h, w) of the anomaly."""

    image: Image.Image
    parts: np.ndarray
    mask: np.ndarray
    subject: Subject
    kind: Kind | None


@dataclass(frozen=True)
class Scene:
    """A picture under a prompt. `defective` unless nothing is wrong or the prompt asks for just that.

    `arm` names the picture and the prompt: "clean" and "anomaly" under a plain prompt; "AA", "AB",
    "BA", "BB" for the picture with the defect A or B under the prompt that asks for A or B; "mismatch"
    for a clean picture under a prompt that asks for A (no defect, by the protocol).
    """

    picture: Picture
    prompt: str
    arm: str
    index: int
    seed: int

    @property
    def justified(self) -> bool:
        """Whether something is anomalous and the prompt asks for it."""
        return self.arm in ("AA", "BB")

    @property
    def defective(self) -> bool:
        """Whether the picture has an anomaly that its prompt does not ask for."""
        return self.picture.kind is not None and not self.justified


def _rng(seed: int, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng((seed, index, stream))


def choose(seed: int, index: int) -> tuple[Subject, Kind, Kind]:
    """The subject of the base scene `index` and its two defects in their order A, B."""
    rng = _rng(seed, index, _CHOICE)
    subject = list(SUBJECTS.values())[rng.integers(len(SUBJECTS))]
    a, b = subject.kinds if rng.random() < 0.5 else subject.kinds[::-1]
    return subject, a, b


def draw_picture(seed: int, index: int, kind: Kind | None, size: int) -> Picture:
    """Draw base scene `index` of `seed` with the defect `kind` of its subject, or clean (None)."""
    subject, *_ = choose(seed, index)
    name = kind.name if kind else None
    canvas = background(subject.setting(_rng(seed, index, _SETTING), name), size, _rng(seed, index, _SETTING))
    subject.draw(canvas, _rng(seed, index, _SUBJECT), name)
    image, parts, mask = canvas.finish()
    return Picture(_style(image, _rng(seed, index, _STYLE)), parts, mask, subject, kind)


def draw_scene(seed: int, index: int, arm: str, size: int) -> Scene:
    """Draw base scene `index` of `seed` in one arm (see Scene)."""
    subject, a, b = choose(seed, index)
    rng = _rng(seed, index, _WORDS)
    # Every arm draws the same numbers in the same order: the arms of one base scene share their prompts.
    plain, excuse_a, excuse_b = (
        words.plain_prompt(subject, rng),
        words.excusing_prompt(a, rng),
        words.excusing_prompt(b, rng),
    )
    kind = {"clean": None, "mismatch": None, "anomaly": a, "AA": a, "AB": a, "BA": b, "BB": b}[arm]
    prompt = {"clean": plain, "anomaly": plain, "mismatch": excuse_a, "AA": excuse_a, "BA": excuse_a}.get(
        arm, excuse_b
    )
    return Scene(draw_picture(seed, index, kind, size), prompt, arm, index, seed)


def _style(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    blur, noise, tint = rng.uniform(0, 0.7), rng.uniform(0, 7), rng.uniform(0.88, 1.1, 3)
    if blur > 0.35:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    grain = rng.standard_normal((image.height, image.width), dtype=np.float32)[..., None] * noise
    pixels = np.asarray(image, dtype=np.float32) * tint.astype(np.float32) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")
