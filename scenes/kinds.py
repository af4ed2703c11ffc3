"""What a subject and a defect kind are. A new kind is one `Kind` and a few lines in its subject's drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flawscribe.records import Category
from scenes.canvas import Canvas

Severity = Literal["moderate", "severe"]
Setting = Literal["outdoors", "indoors", "studio", "under_water"]


@dataclass(frozen=True)
class Kind:
    """One way in which a subject can be wrong.

    `texts` are three wordings of the same finding, as three annotators would write it, each with
    `{where}` for its place in the picture; `excuses` are prompts under which the same picture is as
    asked for, hence flawless. A `logical` kind contradicts common sense, the others anatomy or form.
    """

    name: str
    category: Category
    logical: bool
    part: str
    severity: Severity
    texts: tuple[str, str, str]
    excuses: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """Something to draw: `draw(canvas, rng, kind)` paints it, wrong in the way named by `kind` or right.

    The random numbers drawn must not depend on `kind`: the clean and the wrong picture of one seed
    then differ in nothing else. `settings` are the backgrounds it stands before, `wrong_settings` those
    that a kind puts it before instead.
    """

    name: str
    prompts: tuple[str, ...]
    settings: tuple[Setting, ...]
    kinds: tuple[Kind, Kind]
    draw: Callable[[Canvas, np.random.Generator, str | None], None]
    wrong_settings: dict[str, Setting] | None = None

    def setting(self, rng: np.random.Generator, kind: str | None) -> Setting:
        """The background for a picture with the defect `kind` (None: a clean one)."""
        usual = self.settings[rng.integers(len(self.settings))]
        return (self.wrong_settings or {}).get(kind or "", usual)
