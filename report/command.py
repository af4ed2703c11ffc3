"""The verb `report`."""

import json

import click

EPILOG = """
\b
Examples:
  flawscribe report run/
  flawscribe report run/ --gallery 1000
  flawscribe report manifest.jsonl -o run/ --descriptions answers.jsonl --masks masks/

\b
Writes RUN/report.html and RUN/metrics.json, which count the rows that failed; the exit code does not.
Exit codes: 0 written, 2 usage, 3 set-up.
"""


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", help="The run directory to make, where INPUT is a manifest or a folder.")
@click.option("--gallery", default=200, show_default=True, type=click.IntRange(0), help="Most images shown.")
@click.option(
    "--descriptions",
    help="Fill the run with descriptions made elsewhere (JSONL, CSV, Parquet), judged by claims.",
)
@click.option("--masks", help="Fill the run with masks made elsewhere (a folder of ID.png, or a COCO file).")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def report(
    input: str, out: str | None, gallery: int, descriptions: str | None, masks: str | None, as_json: bool
) -> None:
    """Evaluate a run against its golden data and write one self-contained HTML page."""
    from flawscribe.inputs import open_run
    from report.evaluate import evaluate
    from report.html import write_report
    from report.pipeline import import_answers, judge_where_golden
    from report.tables import as_text

    run = open_run(input, out)
    import_answers(run, descriptions, masks)
    if descriptions is not None and run.settings("judge").get("judge", "claims") == "claims":
        judge_where_golden(run, "claims")
    metrics = evaluate(run)
    path = write_report(run, gallery, metrics)
    if as_json:
        click.echo(json.dumps({**metrics, "report": str(path)}, indent=1))
    else:
        click.echo(as_text(metrics))
        click.echo(f"\nReport: {path}")
