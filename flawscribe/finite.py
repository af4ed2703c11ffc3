"""Numbers on the command line."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A range of numbers; click's own lets NaN through any bounds, as it is neither below nor above them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; what click raises for a bad value where it is none, NaN or infinity, or out of range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number
