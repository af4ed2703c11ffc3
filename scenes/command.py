"""The verb `scenes`."""

import json
from pathlib import Path

import click

EPILOG = """
\b
Examples:
  flawscribe scenes 200 -o scenes/ --seed 7
  flawscribe scenes 100 -o pairs/ --pairs --size 256
"""


@click.command(epilog=EPILOG)
@click.argument("n", type=click.IntRange(1))
@click.option(
    "-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same pictures."
)
@click.option("--size", default=128, show_default=True, type=click.IntRange(64, 1024), help="Side in pixels.")
@click.option(
    "--pairs",
    is_flag=True,
    help="Six pictures of each of N base scenes, balanced so that no prompt tells the answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def scenes(n: int, out: Path, seed: int, size: int, pairs: bool, as_json: bool) -> None:
    """Draw N pictures with exactly known defects, golden descriptions and masks."""
    from scenes.dataset import PAIR_ARMS, write_scenes

    manifest = write_scenes(out, n, seed, size, pairs)
    count = n * (len(PAIR_ARMS) if pairs else 1)
    if as_json:
        click.echo(json.dumps({"manifest": str(manifest), "scenes": count, "seed": seed, "size": size}))
    else:
        click.echo(f"{count} scenes: {manifest}")
