"""The verb `run`: the whole chain in one command."""

import json
import sys
from typing import Any

import click

from describe.options import describing
from flawscribe.consent import on_the_terminal, yes_option

EPILOG = """
\b
Examples:
  flawscribe run pictures/ -o run/
  flawscribe run manifest.jsonl -o run/ --model Qwen/Qwen3-VL-4B-Instruct --engine vllm
  flawscribe run manifest.jsonl -o run/ --judge gpt-4o
  flawscribe run manifest.jsonl -o run/ --descriptions answers.jsonl --masks masks/

\b
Run again, the same command does only what is missing.
Exit codes: 0 all rows ok, 1 some rows failed, 2 usage, 3 set-up, 4 a mistake of ours.
"""


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", help="The run directory to make or go on with.")
@describing
@click.option(
    "--judge",
    default="claims",
    show_default=True,
    help="claims (offline, not an LLM), or a served model's name.",
)
@click.option("--judge-base-url", help="An OpenAI-compatible server for the judge.")
@click.option(
    "--judge-key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    metavar="NAME",
    help="Environment variable that holds the judge's key.",
)
@click.option(
    "--masks", help="Masks made elsewhere, a folder of ID.png or a COCO file: no mask head is asked."
)
@click.option(
    "--redo", multiple=True, metavar="STAGE", help="Start describe, segment or judge again; may be repeated."
)
@yes_option
@click.option(
    "--gallery",
    default=200,
    show_default=True,
    type=click.IntRange(0),
    help="Most images shown in the report.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def run(input: str, out: str | None, yes: bool, as_json: bool, **options: Any) -> None:
    """Describe, segment, judge and report every image of INPUT: a manifest, a folder, or a run directory."""
    from flawscribe.inputs import open_run
    from report.pipeline import check_redo, run_pipeline
    from report.tables import as_text

    check_redo(options["redo"])
    outcome = run_pipeline(
        open_run(input, out),
        tell=lambda line: click.echo(line, err=True),
        allow=on_the_terminal(yes),
        **options,
    )
    if as_json:
        click.echo(json.dumps({**outcome.metrics, "report": str(outcome.report)}, indent=1))
    else:
        click.echo(as_text(outcome.metrics))
        click.echo(f"\nReport: {outcome.report}")
    sys.exit(1 if outcome.failed else 0)
