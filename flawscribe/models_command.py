"""The verb `models`."""

import json
from dataclasses import asdict
from typing import Any

import click

from flawscribe.models import PACKAGED
from flawscribe.presets import ALLOWANCE, CONTEXT, Preset, cached, presets

EPILOG = """
\b
Examples:
  flawscribe models
  flawscribe models --json
  flawscribe describe manifest.jsonl -o run/ --model qwen3-vl-4b
  flawscribe serve qwen3-vl-4b
"""
_COLUMNS = ("name", "weights", "memory", "here", "context", "max pixels", "boxes", "licence", "hub id")


@click.command("models", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models_command(as_json: bool) -> None:
    """List the models that have a short name, and say what else may be named."""
    rows = [_row(preset) for preset in presets().values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    table = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_COLUMNS))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    click.echo(
        "\nweights: in bfloat16. memory: on GPUs, at least: the weights, the cache of one context (the model's,\n"
        f"{CONTEXT} tokens at most) and {ALLOWANCE:g} GB for the rest. here: whether the weights are on this machine.\n"
        "nano, 5 M parameters, was trained on drawn scenes alone: for trying the job out.\n"
        "Any directory with a checkpoint, or a hub id org/name, is a model too; so is any name that a\n"
        "server given with --base-url offers."
    )


def _row(preset: Preset) -> dict[str, Any]:
    """All that is known of a preset, sizes in gigabytes; `path` is where its weights are here, or null."""
    if preset.hub_id is None:
        path = PACKAGED[preset.name][0]
        here: str | None = str(path) if (path / "config.json").is_file() else None
    else:
        folder = cached(preset.hub_id, preset.revision)
        here = str(folder) if folder else None
    row = asdict(preset)
    del row["override"]
    return row | {"weights_gb": round(preset.weights, 2), "memory_gb": round(preset.memory, 1), "path": here}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['weights_gb']:.2f} GB" if row["weights_gb"] < 1 else f"{row['weights_gb']:.1f} GB",
        f"{row['memory_gb']:.0f} GB",
        "yes" if row["path"] else "no",
        str(row["context"]),
        str(row["max_pixels"] or "–"),
        row["boxes"] or "–",
        row["licence"],
        f"{row['hub_id']}@{row['revision']}" if row["hub_id"] else "(packaged)",
    )
