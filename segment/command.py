"""The verb `segment`."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from flawscribe.finite import Finite

EPILOG = """
\b
Examples:
  flawscribe segment images/ -o run/
  flawscribe segment images/ -o run/ --model my-head/ --tiles 3 --components
  flawscribe segment run/ --png masks/ --overlay seen/ --coco masks.json
  flawscribe segment run/ --model facebook/sam-vit-base --prompt-with describe
  flawscribe segment manifest.jsonl -o run/ --masks made-elsewhere/
"""
_FOLDER = click.Path(file_okay=False, path_type=Path)
_SHARE = Finite(0, 1)


@click.command(epilog=EPILOG)
@click.argument("input")
@click.option("-o", "--out", metavar="RUN", help="Run directory, where INPUT is a manifest or a folder.")
@click.option(
    "--model",
    default="nano",
    show_default=True,
    help="nano, a directory with a head, or with --prompt-with a SAM checkpoint (directory, .pth file, hub id).",
)
@click.option(
    "--prompt-with",
    type=click.Choice(["describe", "automatic"]),
    help="Follow the run's descriptions: their boxes (or words, where the head knows them), "
    "or SAM's own masks ranked by them.",
)
@click.option(
    "--threshold", type=_SHARE, help="Probability from which a pixel is marked (default: the model's own)."
)
@click.option(
    "--presence", type=_SHARE, help="P(defective) below which nothing is marked (default: the head's own)."
)
@click.option(
    "--tiles",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="Look also at overlapping tiles, so many along the longer side: for small defects.",
)
@click.option("--components", is_flag=True, help="Keep each connected region as an instance of its own.")
@click.option("--masks", metavar="DIR|FILE", help="Take masks made elsewhere: DIR/<id>.png, or a COCO file.")
@click.option("--png", type=_FOLDER, help="Also write the masks as DIR/<id>.png.")
@click.option(
    "--overlay", type=_FOLDER, help="Also write the pictures with their masks over them as DIR/<id>.png."
)
@click.option(
    "--coco", type=click.Path(dir_okay=False, path_type=Path), help="Also write all masks as one COCO file."
)
@click.option("--force", is_flag=True, help="Let --png, --overlay and --coco replace files that are there.")
@click.option(
    "--allow-urls", is_flag=True, help="Fetch pictures that the manifest names by http(s) addresses."
)
@click.option("--redo", is_flag=True, help="Throw this stage's rows away and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def segment(
    input: str,
    out: str | None,
    model: str,
    prompt_with: str | None,
    threshold: float | None,
    presence: float | None,
    tiles: int,
    components: bool,
    masks: str | None,
    png: Path | None,
    overlay: Path | None,
    coco: Path | None,
    force: bool,
    allow_urls: bool,
    redo: bool,
    as_json: bool,
) -> None:
    """Mark where each image of INPUT (a manifest, a folder or a run) is defective."""
    from flawscribe.errors import UserError
    from flawscribe.inputs import open_run
    from segment.coco import write_coco
    from segment.external import import_masks
    from segment.marking import Marking
    from segment.stage import segment_run
    from segment.written import write_overlays, write_pngs

    made = [
        name
        for name, given in (
            ("--model", model != "nano"),
            ("--prompt-with", prompt_with is not None),
            ("--presence", presence is not None),
            ("--tiles", tiles > 1),
        )
        if given
    ]
    if masks and made:
        raise UserError(f"--masks takes masks as they are: leave out {' and '.join(made)}")
    if overlay is not None and png is not None and overlay.resolve() == png.resolve():
        raise UserError("--png and --overlay use the same names: give them different folders")
    run = open_run(input, out)
    if masks:
        counts = import_masks(run, masks, threshold=threshold, parts=components, redo=redo)
    else:
        counts = segment_run(
            run,
            model=model,
            prompt_with=prompt_with,
            marking=Marking(threshold, presence, tiles, components),
            allow_urls=allow_urls,
            redo=redo,
        )
    written: dict[str, tuple[int, Path]] = {}
    for name, write, where in (
        ("png", write_pngs, png),
        ("overlay", write_overlays, overlay),
        ("coco", write_coco, coco),
    ):
        if where is not None:
            written[name] = write(run, where, force), where
    failed = counts.failed + sum(not row.ok for row in run.rows("samples"))  # rows of no sample count as well
    figures: dict[str, Any] = {"ok": counts.ok, "kept": counts.kept, "failed": failed, "run": str(run.path)}
    if as_json:
        click.echo(json.dumps(figures | {name: n for name, (n, _) in written.items()}))
    else:
        click.echo(
            f"segment: {counts.ok} marked now, {counts.kept} there before, {failed} failed: {run.path}"
        )
        for name, (n, where) in written.items():
            click.echo(f"{n} {_WRITTEN[name]}: {where}")
    sys.exit(1 if failed else 0)


_WRITTEN = {"png": "masks", "overlay": "overlays", "coco": "annotations"}
