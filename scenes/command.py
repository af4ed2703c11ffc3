"""The verb `scenes`."""

import json
from pathlib import Path

import click

from scenes.shifts import SHIFTS

EPILOG = """
\b
Examples:
  flawscribe scenes 200 -o drawn/ --seed 7
  flawscribe scenes 100 -o pairs/ --pairs --size 96-512
  flawscribe scenes 100 -o smaller/ --pairs --shift smaller
"""
SMALLEST, LARGEST = 64, 1024


class Side(click.ParamType):
    """A side in pixels, or a range of sides: 128, 96-512."""

    name = "side"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """(least, greatest) side."""
        numbers = str(value).split("-")
        if len(numbers) > 2 or not all(n.isascii() and n.isdecimal() and len(n) < 9 for n in numbers):
            self.fail(f"{value!r} is neither a side in pixels nor a range such as 96-512", param, ctx)
        sides = int(numbers[0]), int(numbers[-1])
        if not SMALLEST <= sides[0] <= sides[1] <= LARGEST:
            self.fail(
                f"sides go from {SMALLEST} to {LARGEST} pixels, the lesser first: {value!r}", param, ctx
            )
        return sides


@click.command(epilog=EPILOG)
@click.argument("n", type=click.IntRange(1))
@click.option(
    "-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**63 - 1),
    help="Same seed, same pictures.",
)
@click.option(
    "--size",
    default="128",
    show_default=True,
    type=Side(),
    help="Side in pixels (64 to 1024), or a range: 96-512.",
)
@click.option(
    "--pairs",
    is_flag=True,
    help="Six pictures of each of N base scenes, balanced so that no prompt tells the answer.",
)
@click.option(
    "--shift",
    type=click.Choice(SHIFTS),
    help="The same scenes changed in a way that nano was not trained on.",
)
@click.option("--parts", is_flag=True, help="Write parts/ too: every finger, eye, leg, letter as a label.")
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
def scenes(
    n: int,
    out: Path,
    seed: int,
    size: tuple[int, int],
    pairs: bool,
    shift: str | None,
    parts: bool,
    as_json: bool,
) -> None:
    """Draw N pictures with exactly known defects, golden descriptions and masks."""
    from scenes.dataset import PAIR_ARMS, write_scenes

    manifest = write_scenes(out, n, seed, size, pairs, shift, parts)
    count = n * (len(PAIR_ARMS) if pairs else 1)
    if as_json:
        sides = size[0] if size[0] == size[1] else list(size)
        click.echo(json.dumps({"manifest": str(manifest), "scenes": count, "seed": seed, "size": sides}))
    else:
        click.echo(f"{count} scenes: {manifest}")
