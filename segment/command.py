"""The verb `segment`."""

import json
import sys
from pathlib import Path

import click

EPILOG = """
\b
Examples:
  flawscribe segment images/ -o run/
  flawscribe segment run/ --png masks/
  flawscribe segment manifest.jsonl -o run/ --masks made-elsewhere/
"""


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", metavar="RUN", help="Run directory, where INPUT is a manifest or a folder.")
@click.option("--head", default="nano", show_default=True, help="Mask head: nano, or a directory with one.")
@click.option("--masks", type=click.Path(file_okay=False), help="Take masks made elsewhere: DIR/<id>.png.")
@click.option(
    "--png", type=click.Path(file_okay=False, path_type=Path), help="Also write the masks as DIR/<id>.png."
)
@click.option("--force", is_flag=True, help="Let --png replace files that are there.")
@click.option(
    "--allow-urls", is_flag=True, help="Fetch pictures that the manifest names by http(s) addresses."
)
@click.option("--redo", is_flag=True, help="Throw this stage's rows away and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def segment(
    input: str,
    out: str | None,
    head: str,
    masks: str | None,
    png: Path | None,
    force: bool,
    allow_urls: bool,
    redo: bool,
    as_json: bool,
) -> None:
    """Mark where each image of INPUT (a manifest, a folder or a run) is defective."""
    from flawscribe.inputs import open_run
    from segment.external import import_masks
    from segment.stage import segment_run, write_pngs

    run = open_run(input, out)
    if masks:
        counts = import_masks(run, masks, redo=redo)
    else:
        counts = segment_run(run, head=head, allow_urls=allow_urls, redo=redo)
    pictures = write_pngs(run, png, force) if png else 0
    failed = counts.failed + sum(not row.ok for row in run.rows("samples"))  # rows of no sample count as well
    figures = {"ok": counts.ok, "kept": counts.kept, "failed": failed, "run": str(run.path)}
    if as_json:
        click.echo(json.dumps(figures | ({"png": pictures} if png else {})))
    else:
        click.echo(
            f"segment: {counts.ok} marked now, {counts.kept} there before, {failed} failed: {run.path}"
        )
        if png:
            click.echo(f"{pictures} masks: {png}")
    sys.exit(1 if failed else 0)
