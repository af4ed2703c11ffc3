"""Prompts, places, severities, golden texts and scores of scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes.kinds import Kind, Severity, Subject

_STYLES = (
    "",
    ", digital illustration",
    ", flat design",
    ", simple drawing",
    ", children's book style",
    ", poster art",
)
_JOINED = (" and ", " next to ", " beside ", ", together with ")
_EFFECTS: dict[Severity, tuple[str, str, str]] = {
    "severe": (
        "The defect is obvious at first sight and strongly lowers the overall quality of the image.",
        "It cannot be overlooked and ruins the realism of the whole picture.",
        "This serious flaw dominates the picture, whose overall quality is poor.",
    ),
    "moderate": (
        "The defect is easy to see and moderately lowers the overall quality of the image.",
        "It is noticeable and takes away some of the realism of the picture.",
        "The flaw is clear but not dominant, so the overall quality is mediocre.",
    ),
    "minor": (
        "The defect is small and lowers the overall quality of the image only a little.",
        "It is a minor slip that hardly harms the realism of the picture.",
        "The flaw is slight, so the overall quality remains fair.",
    ),
}
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")
_SEVERITIES: tuple[Severity, ...] = ("minor", "moderate", "severe")
_SMALL = 0.012  # the share of the picture under which a defect counts one step less
_LOSS: dict[Severity, float] = {"minor": 0.9, "moderate": 1.5, "severe": 2.2}


@dataclass(frozen=True)
class Wording:
    """One way to ask for several subjects: a phrase for each, in the order of their cells."""

    phrases: tuple[str, ...]
    joined: str
    style: str

    def plain(self) -> str:
        """A prompt that asks for the subjects and excuses nothing."""
        return self.joined.join(self.phrases) + self.style

    def excusing(self, cell: int, excuse: str) -> str:
        """The same prompt, but for the phrase of one cell, which asks for an anomaly."""
        return self.joined.join(excuse if i == cell else p for i, p in enumerate(self.phrases)) + self.style


def wording(subjects: Sequence[Subject], rng: np.random.Generator) -> Wording:
    """Phrases, a way to join them, and a style."""
    phrases = tuple(s.prompts[rng.integers(len(s.prompts))] for s in subjects)
    return Wording(phrases, _JOINED[rng.integers(len(_JOINED))], _STYLES[rng.integers(len(_STYLES))])


def excuse(kind: Kind, rng: np.random.Generator) -> str:
    """A phrase that asks for exactly what `kind` shows."""
    return kind.excuses[rng.integers(len(kind.excuses))]


def location(mask: np.ndarray) -> str:
    """The place of a bool (h, w) mask's centroid in a 3 × 3 grid, as "upper left" or "centre"."""
    ys, xs = np.nonzero(mask)
    row = _ROWS[min(2, int(3 * (ys.mean() + 0.5) / mask.shape[0]))]
    column = _COLUMNS[min(2, int(3 * (xs.mean() + 0.5) / mask.shape[1]))]
    if (row, column) == ("middle", "centre"):
        return "centre"
    return f"{row} {column}"


def severity(kind: Kind, area: float) -> Severity:
    """How bad a defect of this kind is that covers `area` (0–1) of the picture."""
    at = _SEVERITIES.index(kind.severity)
    return _SEVERITIES[max(0, at - (area < _SMALL))]


def descriptions(defects: Sequence[tuple[Kind, str, Severity]]) -> tuple[str, str, str]:
    """Three annotators' texts for defects of these kinds, at these places (see `location`), as severe as that.

    The second annotator starts from the last defect. The effect is that of the worst one.
    """
    worst = max((s for _, _, s in defects), key=_SEVERITIES.index)
    texts = []
    for annotator in range(3):
        ordered = reversed(defects) if annotator == 1 else defects
        found = [k.texts[annotator].format(where=f"in the {place} of the picture") for k, place, _ in ordered]
        texts.append(" ".join([*found, _EFFECTS[worst][annotator]]))
    return texts[0], texts[1], texts[2]


def opinion(defects: Sequence[tuple[Kind, Severity]], polish: float) -> float:
    """The score, 1–5, that a noiseless annotator would give; body and face defects weigh most.

    `polish` is that of the picture: blur and grain cost up to one step.
    """
    score = 3.7 + polish
    for i, (kind, how) in enumerate(sorted(defects, key=lambda d: -_LOSS[d[1]])):
        # A second defect costs less than the first: the picture is spoilt already.
        score -= (_LOSS[how] + 0.4 * (kind.category in ("body", "faces"))) * 0.5**i
    return float(np.clip(score, 1, 5))


def quality(noiseless: float, rng: np.random.Generator) -> float:
    """The mean of three noisy annotators' whole scores, 1–5."""
    return round(float(np.mean(np.clip(np.round(rng.normal(noiseless, 0.5, 3)), 1, 5))), 2)
