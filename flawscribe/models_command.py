"""The verb `models`."""

import json
from pathlib import Path

import click

from flawscribe.models import PACKAGED

EPILOG = """
\b
Examples:
  flawscribe models
  flawscribe models --json
"""


@click.command("models", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models_command(as_json: bool) -> None:
    """List the models that come with flawscribe, and say what else may be named."""
    rows = [
        {"name": name, "path": str(path), "megabytes": round(_size(path) / 1e6, 1), "about": about}
        for name, (path, about) in PACKAGED.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['megabytes']} MB  {row['about']}\n  {row['path']}")
    click.echo(
        "Any directory with a checkpoint, or a hub id org/name, is a model too; so is any name that a\n"
        "server given with --base-url offers."
    )


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
