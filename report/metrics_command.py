"""The verb `metrics`."""

import json
from pathlib import Path

import click

from flawscribe.finite import Finite

EPILOG = """
\b
Examples:
  flawscribe metrics segment predicted/ golden/
  flawscribe metrics segment probabilities/ golden/ --soft --threshold 0.4
  flawscribe metrics heatmaps predicted/ golden/ --json

\b
Files are paired by name, without the extension, below the two folders. segment: masks, what is not 0 is
defective; with --soft the predicted ones are probability maps. heatmaps: maps on both sides. A map is
a grey picture of 8 or 16 bits, a picture of floats, or a .npy file, in [0, 1]. Nothing is resized.
Exit codes: 0 all pairs scored, 1 some failed, 2 usage, 3 set-up.
"""


@click.command(epilog=EPILOG)
@click.argument("kind", type=click.Choice(["segment", "heatmaps"]))
@click.argument("predicted", type=click.Path(path_type=Path))
@click.argument("golden", type=click.Path(path_type=Path))
@click.option("--soft", is_flag=True, help="PREDICTED holds probability maps: pixel AUROC and AP too.")
@click.option(
    "--threshold",
    type=Finite(0, 1, min_open=True),
    help="Marked from this share of the full scale on; without it maps from 0.5, masks where not 0.",
)
@click.option("--rows", type=click.Path(path_type=Path), help="Also write a row a pair to this JSONL file.")
@click.option("--force", is_flag=True, help="Let --rows replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, not as Markdown.")
def metrics(
    kind: str,
    predicted: Path,
    golden: Path,
    soft: bool,
    threshold: float | None,
    rows: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare a folder of predicted masks or heatmaps with a golden one."""
    import sys

    from flawscribe.errors import UserError
    from flawscribe.runs import write_atomically
    from report.folders import evaluate_folders
    from report.markdown import page

    if kind == "heatmaps" and (soft or threshold is not None):
        raise UserError("heatmaps are soft on both sides: leave --soft and --threshold out")
    if rows is not None and rows.exists() and not force:
        raise UserError(f"{rows} is there already: give another file, or --force")
    lines: list[str] = []
    figures = evaluate_folders(
        kind,
        predicted,
        golden,
        soft=soft,
        threshold=threshold,
        tell=(lambda row: lines.append(json.dumps(row, ensure_ascii=False) + "\n")) if rows else None,
    )
    if rows is not None:
        write_atomically(rows, "".join(lines))
    click.echo(json.dumps(figures, indent=1, allow_nan=False) if as_json else page(figures))
    sys.exit(1 if figures["counts"]["failed"] else 0)
