"""The options of the describing model, the same for every verb that asks it."""

import json
from collections.abc import Callable
from typing import Any

import click

from engines.registry import MEDIA, WAIT
from flawscribe.finite import Finite


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _params(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that is JSON is what it says, any other is text."""
    found: dict[str, Any] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            found[name] = value
    return found


_OPTIONS = (
    click.option(
        "--model",
        default="nano",
        show_default=True,
        help="A packaged model, a directory, a hub name, or a served name.",
    ),
    click.option(
        "--engine", default="auto", show_default=True, help="auto, transformers, vllm, openai or replay."
    ),
    click.option("--base-url", help="An OpenAI-compatible server, such as http://localhost:8000/v1."),
    click.option(
        "--protocol",
        default="single",
        show_default=True,
        help="single, conservative (fewer false alarms), staged (three calls), zoom (parts of the picture too), "
        "or grounded (a box a defect).",
    ),
    click.option(
        "--boxes",
        default="auto",
        show_default=True,
        help="What boxes count: 0-1000, 0-999, 0-1, pixels, resized, or auto: what the model was trained on.",
    ),
    click.option("--prompts", help="A folder of prompt files that replace ours."),
    click.option(
        "--max-tokens", default=512, show_default=True, type=click.IntRange(1), help="Longest answer."
    ),
    click.option("--temperature", default=0.0, show_default=True, type=Finite(0, 2), help="0 is greedy."),
    click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(0), help="Matters above temperature 0."
    ),
    click.option(
        "--samples",
        default=1,
        show_default=True,
        type=click.IntRange(1, 100),
        help="Ask each image so many times (above temperature 0) and take what most say.",
    ),
    click.option(
        "--calibration",
        metavar="FILE",
        help="From flawscribe calibrate: calibrate P(defective), and decide by its threshold.",
    ),
    click.option("--window", type=click.IntRange(1), help="Requests in flight (default: the engine's own)."),
    click.option(
        "--timeout",
        default=120.0,
        show_default=True,
        type=Finite(min=0.1),
        help="Seconds for one request to a server.",
    ),
    click.option(
        "--wait",
        default=WAIT,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Seconds to wait for a server that has gone.",
    ),
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_params,
        help="Passed to the model as it is (top_p=0.9, reasoning_effort=low); may be repeated.",
    ),
    click.option(
        "--media",
        type=click.Choice(MEDIA),
        default=MEDIA[0],
        show_default=True,
        help="How a server gets pictures: their bytes, or their paths, where it reads the same disk.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(1),
        help="Scale pictures with more pixels down to so many before the model sees them.",
    ),
    click.option(
        "--allow-urls", is_flag=True, help="Fetch pictures that the manifest names by http(s) addresses."
    ),
    click.option("--replay", help="JSON lines of id and text for --engine replay."),
    click.option(
        "--descriptions", help="JSONL, CSV or Parquet with descriptions made elsewhere: no model is asked."
    ),
)


def describing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that `describe.stage.describe_run` takes, and --descriptions."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
