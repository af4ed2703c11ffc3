"""The verb `import`."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from flawscribe.finite import Finite
from segment.importers import FORMATS

EPILOG = """
\b
Formats:
{formats}

\b
Examples:
  flawscribe import coco annotations.json -o data/ --images pictures/
  flawscribe import richhf richhf-18k/ -o data/ --images pickapic/ --scale-heatmaps
  flawscribe import label-studio export.json -o data/ --annotators majority --copy
""".format(formats="\n".join(f"  {name:13} {form.about}" for name, form in FORMATS.items()))


def _columns(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if bad := [
        value for value, (ours, _, theirs) in zip(values, pairs, strict=True) if not (ours and theirs)
    ]:
        raise click.BadParameter(f"{bad[0]!r} is not OURS=THEIRS", param=param)
    return {ours: theirs for ours, _, theirs in pairs}


@click.command("import", epilog=EPILOG)
@click.argument("format", type=click.Choice(list(FORMATS)), metavar="FORMAT")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make."
)
@click.option(
    "--images", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Where the pictures are."
)
@click.option("--copy", is_flag=True, help="Copy the pictures too, instead of referring to them.")
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this split; may be repeated.")
@click.option("--boxes-as-masks", is_flag=True, help="Fill boxes where no region is drawn.")
@click.option(
    "--unmarked",
    type=click.Choice(["unknown", "clean"]),
    default="unknown",
    show_default=True,
    help="What a picture without annotations is.",
)
@click.option("--clip", is_flag=True, help="Cut off what polygons have outside, instead of refusing them.")
@click.option(
    "--threshold",
    type=Finite(0, 1, min_open=True),
    help="Share of the full scale from which a soft mask is defective.",
)
@click.option(
    "--heatmap-threshold",
    type=Finite(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Value from which a heatmap is defective.",
)
@click.option("--scale-heatmaps", is_flag=True, help="Interpolate heatmaps to their pictures' sizes.")
@click.option(
    "--annotators",
    type=click.Choice(["union", "majority", "each"]),
    default="union",
    show_default=True,
    help="Several people's masks: what any marked, what most did, or a row each.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    callback=_columns,
    help="The source's name of a manifest's column; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace an earlier import.")
@click.option("--json", "as_json", is_flag=True, help="Print what was imported as JSON.")
@click.pass_context
def import_command(
    ctx: click.Context,
    format: str,
    source: Path,
    out: Path,
    copy: bool,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Turn SOURCE, a data set in a public FORMAT, into a folder with a manifest and masks."""
    from segment.importers.base import Options
    from segment.importers.writing import FAILURES, MANIFEST, write_import

    _refuse_foreign(ctx, format)
    module, attribute = FORMATS[format].home.split(":")
    reading = getattr(importlib.import_module(module), attribute)(source, Options(**given))
    taken = {param.name for param in ctx.command.params if _special(param) in FORMATS[format].options}
    options = {name: str(v) if isinstance(v, Path) else v for name, v in given.items() if name in taken}
    about = {"format": format, "source": str(source.absolute()), "copied": copy, "options": options}
    done = write_import(out, reading, about, copy=copy, force=force)
    if as_json:
        figures = {"images": done.images, "defective": done.defective, "clean": done.clean}
        figures |= {"unknown": done.unknown, "masks": done.masks, "failed": done.failed}
        click.echo(json.dumps(figures | {"failures": dict(done.failures), "manifest": str(out / MANIFEST)}))
    else:
        click.echo(f"{out / MANIFEST}: {done.images} images, {done.masks} masks")
        lines = [("defective", done.defective), ("no defect", done.clean), ("not said", done.unknown)]
        lines += [(f"failed: {kind}", n) for kind, n in done.failures.items()]
        for name, n in lines:
            if n:
                click.echo(f"  {name:<28}{n:>6}")
        if done.unknown and given["unmarked"] == "unknown" and "unmarked" in FORMATS[format].options:
            click.echo("not said: without annotations; if that means flawless, import with --unmarked clean")
        if done.failed:
            click.echo(f"what failed and why: {out / FAILURES}")
    sys.exit(1 if done.failed else 0)


def _refuse_foreign(ctx: click.Context, format: str) -> None:
    """UsageError for an option that was given and that the format does not take."""
    special = {option for form in FORMATS.values() for option in form.options}
    for param in ctx.command.params:
        name = _special(param)
        if (
            name in special - FORMATS[format].options
            and param.name
            and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
        ):
            takes = ", ".join(f"--{o.replace('_', '-')}" for o in sorted(FORMATS[format].options))
            raise click.UsageError(f"--{name.replace('_', '-')} is not for {format}, which takes {takes}")


def _special(param: click.Parameter) -> str:
    """A parameter's name as `Format.options` has it."""
    return max(param.opts, key=len).lstrip("-").replace("-", "_")
