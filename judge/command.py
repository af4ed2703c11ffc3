"""The verb `judge`."""

import json
import sys
from typing import Any

import click

from flawscribe.consent import on_the_terminal, yes_option

EPILOG = """
\b
Examples:
  flawscribe judge run/
  flawscribe judge run/ --judge gpt-4o
  flawscribe judge run/ --judge Qwen/Qwen3-8B --judge-base-url http://localhost:8000/v1
  flawscribe judge run/ --judge gpt-4o --redo

\b
INPUT must have been described first (flawscribe describe; descriptions made elsewhere:
flawscribe describe INPUT -o RUN --descriptions FILE). Only images that people found defective
and described are judged. An answer that gives no valid score is unscored and counted, never a number.
Exit codes: 0 all scored, 1 some unscored, 2 usage, 3 set-up.
"""


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", help="The run directory to make or go on with.")
@click.option(
    "--judge",
    default="claims",
    show_default=True,
    help="claims (offline, not an LLM, English only), or a model that an OpenAI-compatible server offers.",
)
@click.option("--judge-base-url", help="The server, such as http://localhost:8000/v1 (default: OpenAI's).")
@click.option(
    "--judge-key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    help="The environment variable that holds the server's key.",
)
@click.option(
    "--prompts", help="A folder whose judge_completeness.yaml or judge_precision.yaml replaces ours."
)
@click.option(
    "--descriptions", help="Judge descriptions made elsewhere: JSONL, CSV or Parquet with id, description."
)
@click.option("--prices", metavar="FILE", help="YAML or JSON with the judge's price: say what it has cost.")
@yes_option
@click.option("--redo", is_flag=True, help="Forget this stage's rows and start again.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def judge(
    input: str,
    out: str | None,
    judge: str,
    judge_base_url: str | None,
    judge_key_env: str,
    prompts: str | None,
    descriptions: str | None,
    prices: str | None,
    yes: bool,
    redo: bool,
    as_json: bool,
) -> None:
    """Score the descriptions of INPUT against the golden ones: completeness and precision, 0 to 2 each."""
    from flawscribe.errors import UserError
    from flawscribe.external import import_descriptions
    from flawscribe.inputs import open_run
    from judge.claims_judge import NAME, TOLD
    from judge.figures import figures
    from judge.stage import judge_run

    run = open_run(input, out)
    if descriptions is not None:
        import_descriptions(run, descriptions, tell=lambda line: click.echo(line, err=True))
    if not run.has("describe"):
        raise UserError(f"{run.path} holds no descriptions: run flawscribe describe {run.path} first")
    judge_run(
        run,
        judge=judge,
        base_url=judge_base_url,
        key_env=judge_key_env,
        prompts=prompts,
        redo=redo,
        prices=prices,
        allow=on_the_terminal(yes),
    )
    found = {"run": str(run.path), "judge": TOLD if judge == NAME else judge, **figures(run)}
    if judge != NAME:
        found["account"] = run.info()["stages"]["judge"]["account"]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found)
    sys.exit(1 if found["unscored"] or found["failed_before"] else 0)


def _print(found: dict[str, Any]) -> None:
    from engines.account import told

    click.echo(f"{found['run']}: {found['judged']} descriptions judged by {found['judge']}")
    for name in ("completeness", "precision", "mean"):
        entry = found[name]
        if entry["value"] is None:
            click.echo(f"  {name:<14}    -  (n=0)")
            continue
        low, high = entry["low"], entry["high"]
        interval = f"[{low:.2f}, {high:.2f}]" if low is not None and high is not None else "[no interval]"
        unscored = f", {entry['unscored']} unscored" if entry["unscored"] else ""
        click.echo(f"  {name:<14}{entry['value']:>5.2f}  {interval}  n={entry['n']}{unscored}")
    for reason, n in found["reasons"].items():
        click.echo(f"  unscored: {n} × {reason}")
    if "account" in found:
        click.echo(f"  {told(found['account'])}")
    if found["failed_before"]:
        click.echo(f"  not judged: {found['failed_before']} whose description failed or is missing")
