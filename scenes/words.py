"""Prompts, places and golden texts of scenes."""

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
}
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def location(mask: np.ndarray) -> str:
    """The place of a bool (h, w) mask's centroid in a 3 × 3 grid, as "upper left" or "centre"."""
    ys, xs = np.nonzero(mask)
    row = _ROWS[min(2, int(3 * (ys.mean() + 0.5) / mask.shape[0]))]
    column = _COLUMNS[min(2, int(3 * (xs.mean() + 0.5) / mask.shape[1]))]
    if (row, column) == ("middle", "centre"):
        return "centre"
    return f"{row} {column}"


def descriptions(kind: Kind, place: str) -> tuple[str, str, str]:
    """Three annotators' texts for a defect of this kind at this place (see `location`)."""
    where = f"in the {place} of the picture"
    effects = _EFFECTS[kind.severity]
    return tuple(f"{t.format(where=where)} {e}" for t, e in zip(kind.texts, effects, strict=True))  # type: ignore[return-value]


def plain_prompt(subject: Subject, rng: np.random.Generator) -> str:
    """A prompt that asks for the subject and excuses nothing."""
    return subject.prompts[rng.integers(len(subject.prompts))] + _STYLES[rng.integers(len(_STYLES))]


def excusing_prompt(kind: Kind, rng: np.random.Generator) -> str:
    """A prompt that asks for exactly what `kind` shows."""
    return kind.excuses[rng.integers(len(kind.excuses))] + _STYLES[rng.integers(len(_STYLES))]


def quality(kind: Kind | None, rng: np.random.Generator) -> float:
    """The mean of three noisy annotators' scores, 1–5 each; body and face defects weigh most."""
    centre = 4.5
    if kind is not None:
        centre = {"severe": 2.2, "moderate": 3.1}[kind.severity] - (
            0.5 if kind.category in ("body", "faces") else 0
        )
    return round(float(np.mean(np.clip(np.round(rng.normal(centre, 0.5, 3)), 1, 5))), 2)
