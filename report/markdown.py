"""Grids as Markdown tables, and the page that `flawscribe metrics` prints."""

from typing import Any

from flawscribe.errors import one_line
from report.lines import Grid, Line, digits
from report.mask_tables import grids
from segment.metrics.cards import CARDS

_NOTE = "A cell is a value (95 % interval), n where it differs from the row's, and what failed."


def page(figures: dict[str, Any]) -> str:
    """What `report.folders.evaluate_folders` found, as Markdown."""
    counts = figures["counts"]
    out = [
        f"# {'Heatmaps' if figures['kind'] == 'heatmaps' else 'Masks'}: {_cell(figures['predicted'])} against "
        f"{_cell(figures['golden'])}",
        "",
        f"{counts['pairs']} golden files, {counts['empty_golden']} of them with nothing marked; "
        f"{counts['failed']} failed"
        + "".join(f", {n} {kind}" for kind, n in figures["failures"].items())
        + "; "
        f"{counts['predictions_without_golden']} predictions without a golden file.",
    ]
    if figures["first_failure"]:
        out += ["", f"The first failure: {_cell(figures['first_failure'])}"]
    out += ["", _NOTE]
    for grid in _grids(figures):
        out += [
            "",
            f"## {grid.title}",
            "",
            *_table(grid),
            *(line for note in grid.notes for line in ("", note)),
        ]
    if "absent" in figures.get("probabilities", {}):
        out += ["", f"Absent: {figures['probabilities']['absent']}."]
    return "\n".join(out)


def _grids(figures: dict[str, Any]) -> list[Grid]:
    if figures["kind"] == "heatmaps":
        return [_heatmaps(figures["heatmaps"])]
    found = grids(figures["masks"])
    probabilities = figures["probabilities"]
    return found if "absent" in probabilities else [*found, _probabilities(probabilities)]


def _probabilities(section: dict[str, Any]) -> Grid:
    rows = []
    for name in (name for name in CARDS if name in section):
        error = section[name].get("error")
        bound = Line(
            "", "", {"value": error, "low": None, "high": None, "n": section[name]["n"], "failed": 0}
        )
        rows.append((CARDS[name].title, section[name]["n"], (Line("", "", section[name]), bound)))
    notes = (
        f"Marked from {section['threshold']:g} on. A constant map, such as an empty or a full mask, gets AUROC .5 "
        "and for AP the golden share.",
        "Cumulative figures count pixels in bins; error is the most by which that can change them.",
    )
    return Grid("Probabilities", ("predicted", "error at most"), tuple(rows), notes)


def _heatmaps(section: dict[str, Any]) -> Grid:
    variants = list(section)
    rows = []
    for name in section["predicted"]:
        card = CARDS[name]
        title = f"{card.title} ({'higher' if card.higher else 'lower'} is better)"
        cells = tuple(Line("", section[v][name].get("note", ""), section[v][name]) for v in variants)
        rows.append((title, section["predicted"][name]["n"], cells))
    titles = {"predicted": "predicted", "empty": "zeros", "full": "ones"}
    notes = ("All but MSE are over pairs whose golden map has values above 0. Ones and zeros are baselines.",)
    return Grid("Heatmaps", tuple(titles[v] for v in variants), tuple(rows), notes)


def _table(grid: Grid) -> list[str]:
    counted = any(n is not None for _, n, _ in grid.rows)
    head = ["", *(["n"] if counted else []), *grid.columns]
    lines = [_row(head), _row(["---"] * len(head))]
    for name, n, cells in grid.rows:
        shown = [_figure(cell, n) for cell in cells]
        lines.append(_row([_cell(name), *([str(n)] if counted else []), *shown]))
    return lines


def _figure(line: Line, n: int | None) -> str:
    entry = line.entry
    text = digits(entry["value"])
    if line.interval:
        text += f" ({line.interval})"
    if entry["n"] != n and (entry["n"] or entry["failed"]):
        text += f" n {entry['n']}"
    return text + (f", {entry['failed']} failed" if entry["failed"] else "")


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    """A name that somebody else chose: on one line, and no Markdown or HTML of its own."""
    return "".join(f"\\{x}" if x in "\\`*_{}[]<>#|" else x for x in one_line(text))
