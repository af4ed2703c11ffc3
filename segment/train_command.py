"""The verb `train`."""

from pathlib import Path

import click

from flawscribe.finite import Finite

EPILOG = """
\b
Examples:
  flawscribe train segment drawn/ --encoder nano -o head/
  flawscribe train segment manifest.jsonl --encoder facebook/sam-vit-base -o head/
  accelerate launch --num_processes 4 -m flawscribe.cli train segment manifest.jsonl --encoder ./sam -o head/
"""


@click.group(epilog=EPILOG)
def train() -> None:
    """Train a model on annotated images."""


@train.command(epilog=EPILOG)
@click.argument("data")
@click.option(
    "--encoder",
    required=True,
    help="Frozen encoder: nano, a SAM, SAM 2.1 or SAM-HQ directory or hub id, or Meta's .pth file.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the head.",
)
@click.option("--init", metavar="HEAD", help="Start from another head's weights.")
@click.option(
    "--text",
    default="hashed",
    show_default=True,
    metavar="NAME",
    help="What embeds descriptions: hashed, none, or an encoder's directory or hub id.",
)
@click.option(
    "--refine/--no-refine", default=True, show_default=True, help="Masks finer than the encoder's grid."
)
@click.option(
    "--views", default=4, show_default=True, type=click.IntRange(1, 64), help="Views of each image."
)
@click.option("--epochs", default=24, show_default=True, type=click.IntRange(1), help="At most.")
@click.option(
    "--batch", default=16, show_default=True, type=click.IntRange(1), help="Images a step, over all GPUs."
)
@click.option(
    "--rate",
    default=5e-5,
    show_default=True,
    type=Finite(0, 1, min_open=True),
    help="Learning rate of trained weights; new ones learn forty times as fast.",
)
@click.option("--decay", default=0.05, show_default=True, type=Finite(0), help="Weight decay.")
@click.option(
    "--patience", default=6, show_default=True, type=click.IntRange(1), help="Epochs without a better gIoU."
)
@click.option(
    "--validation",
    default=0.2,
    show_default=True,
    type=Finite(0, 1, min_open=True, max_open=True),
    help="Share of the images; unless the column split says which.",
)
@click.option(
    "--clean-marked",
    default=0.05,
    show_default=True,
    type=Finite(0, 1),
    help="Share of flawless images that the thresholds may let be marked.",
)
@click.option("--bce", default=4.0, show_default=True, type=Finite(0), help="Weight of the masks' BCE.")
@click.option("--dice", default=1.5, show_default=True, type=Finite(0), help="Weight of Dice.")
@click.option("--detection", default=1.0, show_default=True, type=Finite(0), help="Weight of P(defective).")
@click.option("--quality", default=0.3, show_default=True, type=Finite(0), help="Weight of the quality.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**63 - 1),
    help="Same seed, same head (on a CPU).",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for embeddings, which several trainings may use; else OUT/cache.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be learnt from.")
@click.option("--force", is_flag=True, help="Replace a training with other settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the validation figures as JSON.")
def segment(
    data: str,
    encoder: str,
    out: Path,
    init: str | None,
    text: str,
    refine: bool,
    views: int,
    epochs: int,
    batch: int,
    rate: float,
    decay: float,
    patience: int,
    validation: float,
    clean_marked: float,
    bce: float,
    dice: float,
    detection: float,
    quality: float,
    seed: int,
    cache: Path | None,
    skip_bad: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train the mask head on DATA: a manifest or a folder, whose images have golden masks.

    The same command goes on where it was interrupted.
    """
    import json

    from segment.training.card import labelled
    from segment.training.losses import Weights
    from segment.training.train import Arguments
    from segment.training.train import train as run

    arguments = Arguments(
        data=data,
        encoder=encoder,
        init=init,
        text=None if text == "none" else text,
        refine=refine,
        views=views,
        epochs=epochs,
        batch=batch,
        rate=rate,
        decay=decay,
        patience=patience,
        validation=validation,
        clean_marked=clean_marked,
        seed=seed,
        weights=Weights(bce, dice, detection, quality),
        skip_bad=skip_bad,
    )
    figures = run(
        arguments,
        out,
        cache=cache,
        force=force,
        tell=None if as_json else lambda line: click.echo(line, err=True),
    )
    if as_json:
        click.echo(json.dumps({"head": str(out), **figures}))
        return
    click.echo(f"head: {out}")
    for line in labelled(figures):
        click.echo(f"  {line}")
