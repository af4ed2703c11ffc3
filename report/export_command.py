"""The verb `export`."""

import click

EPILOG = """
\b
Examples:
  flawscribe export run/ --format jsonl | head -1
  flawscribe export run/ --format csv -o run.csv
  flawscribe export run/ --format coco -o masks.json

\b
One row a sample, failed ones too. mask is COCO RLE, blank where the description says flawless; mask_raw is
the head's own. In CSV a text that a spreadsheet would run as a formula (= + - @ first) gets a ' before it.
Exit codes: 0 written, 2 usage, 3 set-up.
"""


@click.command(epilog=EPILOG)
@click.argument("run_directory", metavar="RUN")
@click.option("--format", "format", default="jsonl", show_default=True, help="jsonl, csv, parquet or coco.")
@click.option("-o", "--out", help="The file to write; without it jsonl, csv and coco go to the terminal.")
@click.option("--force", is_flag=True, help="Replace a file that is already there.")
def export(run_directory: str, format: str, out: str | None, force: bool) -> None:
    """Write one row a sample of RUN, for other tools."""
    import io
    import os
    import sys

    from flawscribe.runs import Run
    from report.export import export as write

    run = Run.open(run_directory)
    if out is not None:
        rows = write(run, format, out, force)
        click.echo(f"{rows} rows: {out}", err=True)
        return
    stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        write(run, format, stdout)
        stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has enough: what it did not take goes nowhere, and that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        stdout.detach()
