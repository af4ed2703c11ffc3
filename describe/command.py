"""The verb `describe`."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from describe.options import describing
from flawscribe.consent import on_the_terminal, yes_option

if TYPE_CHECKING:
    from flawscribe.runs import Run

EPILOG = """
\b
Examples:
  flawscribe describe pictures/ -o run/
  flawscribe describe manifest.jsonl -o run/ --model Qwen/Qwen3-VL-4B-Instruct --engine vllm
  flawscribe describe manifest.jsonl -o run/ --model gpt-4o --engine openai
  flawscribe describe manifest.jsonl -o run/ --model nano --base-url http://localhost:8000/v1
  flawscribe describe manifest.jsonl -o run/ --descriptions answers.jsonl
  flawscribe describe manifest.jsonl --model gpt-4o --engine openai --dry-run --prices prices.yaml
  flawscribe describe manifest.jsonl -o run/ --model gpt-4o --emit-batch requests.jsonl
  flawscribe describe manifest.jsonl -o run/ --model ./my-model --engine vllm --cluster --workers 8
  flawscribe describe run/ --model gpt-4o --from-batch output.jsonl

\b
The key of an OpenAI-compatible server is read from $OPENAI_API_KEY.
Exit codes: 0 all rows ok, 1 some rows failed, 2 usage, 3 set-up, 4 a mistake of ours.
"""


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", help="The run directory to make or go on with.")
@describing
@click.option("--emit-batch", metavar="FILE", help="Ask nothing; write the requests as an OpenAI batch file.")
@click.option(
    "--from-batch", metavar="FILE", multiple=True, help="Take a batch's output as answers; may be repeated."
)
@click.option(
    "--prices", metavar="FILE", help="YAML or JSON with the model's price: say what the run has cost."
)
@click.option("--dry-run", is_flag=True, help="Ask nothing; estimate calls, tokens, bytes and cost.")
@click.option(
    "--looked-at",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Rows that --dry-run looks at, drawn at random.",
)
@click.option("--measured", metavar="RUN", help="A run with the same settings, for --dry-run to go by.")
@yes_option
@click.option(
    "--cluster",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Describe with many workers on a Ray cluster; without an address on this machine.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes of --cluster (default: the GPUs, or the addresses in --base-url).",
)
@click.option("--redo", is_flag=True, help="Forget this stage's rows and start again.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def describe(
    input: str,
    out: str | None,
    descriptions: str | None,
    emit_batch: str | None,
    from_batch: tuple[str, ...],
    prices: str | None,
    dry_run: bool,
    looked_at: int,
    measured: str | None,
    yes: bool,
    redo: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Describe the defects of every image of INPUT: a manifest, a folder of images, or a run directory."""
    from describe.figures import figures_of
    from describe.stage import describe_run
    from flawscribe.errors import UserError
    from flawscribe.external import import_descriptions
    from flawscribe.inputs import open_run

    def tell(line: str) -> None:
        click.echo(line, err=True)

    if descriptions is not None and options["calibration"] is not None:
        raise UserError("--calibration is for a model's answers: --descriptions has its own P(defective)")
    instead = {"--descriptions": descriptions, "--emit-batch": emit_batch, "--from-batch": from_batch}
    if len(given := [name for name, value in instead.items() if value]) > 1 and not dry_run:
        raise UserError(f"{' and '.join(given)} each do something else: give one of them")
    if options["cluster"] and (emit_batch or descriptions or dry_run):
        raise UserError("--cluster asks a model: leave out --dry-run, --emit-batch and --descriptions")
    if dry_run:
        batch = emit_batch is not None or bool(from_batch)
        more = {"looked_at": looked_at, "measured": measured, "prices": prices, "redo": redo, "batch": batch}
        _estimate(input, out, {**options, **more}, as_json)
        return
    run = open_run(input, out)
    if emit_batch is not None:
        _emit(run, emit_batch, options, as_json)
        return
    if descriptions is not None:
        counts = import_descriptions(run, descriptions, redo=redo, tell=tell)
    else:
        counts = describe_run(
            run,
            redo=redo,
            tell=tell,
            allow=on_the_terminal(yes),
            from_batch=from_batch,
            prices=prices,
            **options,
        )
    found = figures_of(run)
    figures = {
        "run": str(run.path),
        "images": found.images,
        "ok": found.ok,
        "defective": found.defective,
        "failed": found.failures.total(),
        "failures": dict(found.failures.most_common()),
        "done_before": counts.kept,
    }
    if descriptions is None:
        figures["account"] = run.info()["stages"]["describe"]["account"]
    if as_json:
        click.echo(json.dumps(figures, indent=1))
    else:
        _print(figures)
    sys.exit(1 if found.failures else 0)


def _estimate(input: str, out: str | None, options: dict[str, Any], as_json: bool) -> None:
    from describe.estimate import estimate, lines
    from flawscribe.inputs import looking_at

    # What is not here yet counts as unreadable.
    about_asking = ("window", "timeout", "wait", "allow_urls", "cluster", "workers")
    options = {k: v for k, v in options.items() if k not in about_asking}
    with looking_at(input, out) as (samples, rows):
        found = estimate(samples, rows, **options)
    if as_json:
        click.echo(json.dumps({**asdict(found), "to_ask": found.to_ask}, indent=1))
    else:
        click.echo("\n".join(lines(found)))


def _emit(run: "Run", file: str, options: dict[str, Any], as_json: bool) -> None:
    from describe.stage import emit_batch

    about_asking = ("engine", "window", "timeout", "wait", "replay", "base_url", "cluster", "workers")
    files, n = emit_batch(run, file, **{k: v for k, v in options.items() if k not in about_asking})
    if as_json:
        click.echo(json.dumps({"run": str(run.path), "requests": n, "files": [str(path) for path in files]}))
    else:
        told = ", ".join(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in files) or "nothing to ask"
        click.echo(f"{run.path}: {n} request{'' if n == 1 else 's'}: {told}")


def _print(figures: dict[str, Any]) -> None:
    from engines.account import told

    ok, before = figures["ok"], figures["done_before"]
    click.echo(f"{figures['run']}: {figures['images']} images, {ok} described ({before} before)")
    click.echo(f"  {'defective':<26}{figures['defective']:>8}")
    click.echo(f"  {'no defect':<26}{ok - figures['defective']:>8}")
    for kind, n in figures["failures"].items():
        click.echo(f"  {'failed: ' + kind:<26}{n:>8}")
    if "account" in figures:
        click.echo(f"  {told(figures['account'])}")
