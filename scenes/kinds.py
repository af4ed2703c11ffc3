"""What a subject and a defect kind are. A new kind is one `Kind` and a few lines in its subject's drawing."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flawscribe.records import Category
from scenes.canvas import Canvas

Severity = Literal["minor", "moderate", "severe"]
Setting = Literal["outdoors", "indoors", "studio", "under_water"]


@dataclass(frozen=True)
class Kind:
    """One way in which a subject can be wrong.

    `texts` are three wordings of the same finding, as three annotators would write it, each with
    `{where}` for its place in the picture; `excuses` are prompts under which the same picture is as
    asked for, hence flawless. A `logical` kind contradicts common sense, the others anatomy or form.
    `severity` is that of a large one; a small one counts one step less.
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
    """Something to draw: `draw(canvas, rng, kinds)` paints it, wrong in the ways that `kinds` names.

    It paints into the unit square of its cell (see Canvas). The random numbers drawn must not depend on
    `kinds`: the clean and the wrong picture of one seed then differ in nothing else. `settings` are the backgrounds
    it stands before, `wrong_settings` those that a kind puts it before instead. `combine` tells
    whether all its kinds can be seen at once, `readable` whether it bears lettering.
    """

    name: str
    prompts: tuple[str, ...]
    settings: tuple[Setting, ...]
    kinds: tuple[Kind, ...]
    draw: Callable[[Canvas, np.random.Generator, Set[str]], None]
    wrong_settings: dict[str, Setting] | None = None
    combine: bool = True
    readable: bool = False

    def kinds_beside(self, others: bool) -> tuple[Kind, ...]:
        """Its kinds; with `others` in the picture, only those that leave the background as it is."""
        return tuple(k for k in self.kinds if not (others and k.name in (self.wrong_settings or {})))
