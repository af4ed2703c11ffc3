"""The protocols by name."""

from collections.abc import Callable

from describe.grounded import grounded
from describe.protocol import Ask, Plan, single
from describe.staged import staged
from describe.zoom import zoom
from flawscribe.records import Sample

PROTOCOLS: dict[str, tuple[str, Callable[[Sample, Ask], Plan]]] = {
    "single": ("describe", single),
    "conservative": ("describe_conservative", single),
    "staged": ("describe_staged", staged),
    "zoom": ("describe_zoom", zoom),
    "grounded": ("describe_grounded", grounded),
}
"""A protocol's name → the prompt file that it uses, and its plan."""

ONE_CALL = ("single", "conservative")
"""The protocols whose samples are each one request, and so can go as a batch."""
