"""The verb `calibrate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from describe.calibrate import Fit
    from flawscribe.statistics import Estimate

EPILOG = """
\b
Examples:
  flawscribe calibrate run/
  flawscribe calibrate run/ --by fpr=0.05 -o strict.json
  flawscribe calibrate run/ --by costs=10:1
  flawscribe describe others.jsonl -o others/ --calibration run/calibration.json

\b
Exit codes: 0 written, 2 usage (nothing to fit on), 3 set-up.
"""


@click.command(epilog=EPILOG)
@click.argument("run")
@click.option("-o", "--out", metavar="FILE", help="The file to write (default: RUN/calibration.json).")
@click.option(
    "--by",
    default="youden",
    show_default=True,
    help="The threshold: youden, fpr=RATE (a false-positive rate to keep), or costs=MISSED:ALARM.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def calibrate(run: str, out: str | None, by: str, force: bool, as_json: bool) -> None:
    """Fit a temperature and a threshold for P(defective) on the golden labels of RUN, a described run directory."""
    from describe import calibrate as fitting
    from describe.calibration import check_free, write
    from flawscribe.runs import Run

    opened = Run.open(run)
    file = Path(out) if out is not None else opened.path / "calibration.json"
    check_free(file, force)
    fit = fitting.calibrate(opened, by)
    write(fit.calibration, file, force)
    if as_json:
        click.echo(json.dumps(_json(fit, file), indent=1))
        return
    for line in _lines(fit, opened.path):
        click.echo(line)
    click.echo(f"\nCalibration: {file} (for flawscribe describe --calibration)")


def _json(fit: "Fit", file: Path) -> dict[str, Any]:
    found = fit.calibration.model_dump(by_alias=True, mode="json", exclude={"images"})
    left_out = ("without_probability", "failed", "unlabelled")
    return {
        "file": str(file),
        **found,
        **{name: getattr(fit.data, name) for name in left_out},
        "notes": list(fit.notes),
    }


def _lines(fit: "Fit", run: Path) -> list[str]:
    c, figures = fit.calibration, fit.figures
    crossed = figures.crossed or {}
    share = c.n_defective / c.n
    head = f"cross-validated ({figures.folds} folds)" if figures.folds else "cross-validated (too few images)"
    lines = [
        f"{run}: {c.n} labelled images with a P(defective), {c.n_defective} defective (prevalence {share:.3f})",
        "",
        f"  {'':<14}{'value':>7}  95 % interval",
        f"  {'temperature':<14}{c.temperature:>7.3f}  {_interval(figures.temperature)}",
        f"  {'threshold':<14}{c.threshold:>7.3f}  {_interval(figures.threshold)}  by {c.by}",
        "",
        f"  {'':<14}{'before':>7}  {'fitted':<22}{head}",
    ]
    for name, label in (("nll", "NLL"), ("brier", "Brier"), ("ece", "ECE")):
        told = f"{crossed[name]:.3f}" if crossed else "–"
        lines.append(f"  {label:<14}{figures.before[name]:>7.3f}  {figures.fitted[name]:<22.3f}{told}")
    for label, (fitted, other) in (
        ("sensitivity", figures.sensitivity),
        ("specificity", figures.specificity),
    ):
        lines.append(f"  {label:<14}{'':>7}  {_told(fitted):<22}{_told(other)}")
    return [*lines, *(f"\nNote: {note}" for note in fit.notes)]


def _told(estimate: "Estimate | None") -> str:
    if estimate is None or estimate.value is None:
        return "–"
    return f"{estimate.value:.3f} ({_interval(estimate)})"


def _interval(estimate: "Estimate") -> str:
    return "" if estimate.low is None else f"{estimate.low:.3f} – {estimate.high:.3f}"
