"""The section `scenes` as rows for people: a table of its main figures, and grids of the rest for the page."""

from typing import Any

from report.benchmark_rows import UNUSABLE
from report.lines import Grid, Line, Table, on_one_line

_LINES = (
    ("within_pairs.description.plain.auc", "AUC, plain pairs", "same prompt, with and without an anomaly"),
    ("within_pairs.description.justified.auc", "AUC, justified pairs", "anomalies asked for, or not"),
    ("within_pairs.description.all.auc", "AUC, all pairs", ""),
    (
        "within_pairs.description.plain.auc_within",
        "Right order, plain pairs",
        "the defective row is the likelier",
    ),
    ("within_pairs.description.justified.auc_within", "Right order, justified pairs", ""),
    ("within_pairs.description.all.auc_within", "Right order, all pairs", ""),
    ("within_pairs.above_prompt_only.all", "AUC above the prompt alone", "all pairs"),
    ("within_pairs.prompt_only.all.auc", "AUC, all pairs, prompt only", "baseline that sees no picture"),
    ("within_pairs.picture_only.all.auc", "AUC, all pairs, picture only", "baseline that sees no prompt"),
    ("within_pairs.mask_head.plain.auc", "AUC, plain pairs, mask head", "it sees no prompt"),
    ("within_pairs.mask_head.plain.auc_within", "Right order, plain, mask head", ""),
    ("against_clean.all.description", "AUC against clean scenes", "of the same subject, mean over subjects"),
    ("against_clean.all.mask_head", "AUC against clean, mask head", ""),
    (
        "against_clean.all.prompt_only",
        "AUC against clean, prompt only",
        "what the prompts alone give away here",
    ),
    (
        "justification.justified_called_flawless",
        "Justified, called flawless",
        "the prompt asks for the anomaly",
    ),
    (
        "justification.unjustified_called_defective",
        "Unjustified, called defective",
        "it asks for another one",
    ),
    ("justification.whole_square", "Base scenes all right", "two pictures by two prompts"),
    ("named.recall", "Defects named, recall", "n counts defects"),
    ("named.precision", "Defects named, precision", "n counts names"),
    ("masks.giou_gated", "gIoU, gated", "over defective rows"),
    ("masks.giou_raw", "gIoU, raw", ""),
    ("masks.clean_marked_gated", "Clean rows marked, gated", "no anomaly drawn"),
    ("masks.clean_marked_raw", "Clean rows marked, raw", ""),
    ("masks.justified_marked_gated", "Justified rows marked, gated", "an anomaly drawn, and asked for"),
    ("masks.justified_marked_raw", "Justified rows marked, raw", ""),
)
_SCORERS = {
    "description": "description",
    "mask_head": "mask head",
    "prompt_only": "prompt only",
    "picture_only": "picture only",
    "above_prompt_only": "description − prompt only",
}
_PARTS = ("plain", "justified", "all")
MOST_SHIFTS, MOST_LETTERS = 10, 60
_LEFT_OUT = (
    ("other_samples", "samples of the run are no scenes and do not count here."),
    ("unusable_rows", f"rows look like scenes but do not count here: {UNUSABLE}."),
    (
        "unreadable_rows",
        "rows of the manifest could not be read. Whether they are scenes is not known: they count in no “failed”.",
    ),
    (
        "rows_without_defects",
        "defective rows do not tell their defects readably: they count as failed where names are compared, "
        "and stand in no group by kind, size or severity.",
    ),
    (
        "defects_without_area",
        "defects tell no share of the picture between 0 and 1: they and their rows stand in no group by size.",
    ),
)
MASK_HEAD = "The mask head sees no prompt: its justified pairs are .5 by construction, and plain pairs are its figure."


def scenes_table(section: dict[str, Any]) -> Table:
    """The main figures, the shift in the title; those that the manifest has no rows for are left out."""
    if "absent" in section:
        return Table(title(section), absent=section["absent"])
    pairs, arms = section["pairs"], section["arms"]
    notes = (
        f"{section['n']} rows of {section['base_scenes']} base scenes: {pairs['plain']} plain pairs, "
        f"{pairs['justified']} justified ones. Intervals are over base scenes drawn again.",
        f"{arms['AA'] + arms['BB']} rows are justified: their anomaly is what the prompt asks for.",
        MASK_HEAD,
        *_told(section),
    )
    masks = section["masks"]
    gates = section["scored_by"] is not None or masks["giou_gated"] != masks["giou_raw"]
    found = [
        Line(label if gates else label.removesuffix(", gated"), hint, _at(section, path))
        for path, label, hint in _LINES
        if gates or not path.endswith("_raw")
    ]
    lines = tuple(line for line in found if line.entry["n"] or line.entry["failed"])
    return Table(title(section), lines, notes=notes)


def title(section: dict[str, Any]) -> str:
    """The section's title line with the manifest's shifts."""
    if "absent" in section:
        return "Scenes"
    shifts = section["shift"]
    if shifts == ["none"]:
        return "Scenes, no shift"
    names = ", ".join(on_one_line(name, MOST_LETTERS) for name in shifts[:MOST_SHIFTS])
    more = f" and {len(shifts) - MOST_SHIFTS} more" if len(shifts) > MOST_SHIFTS else ""
    return f"Scenes, {'shift' if len(shifts) == 1 else 'shifts'}: {names}{more}"


def _told(section: dict[str, Any]) -> list[str]:
    """What to know of the scores and the baselines."""
    notes = []
    if section["scored_by"] in ("yes/no", "mixed"):
        notes.append(
            f"{section['without_probability']} descriptions give no probability: their yes or no counts as 1 or 0."
        )
    facts = section["baselines"]
    if facts["pictures"] < facts["of"]:
        notes.append(f"The picture-only baseline looks at {facts['pictures']} of {facts['of']} rows.")
    if facts["failed"]:
        notes.append(f"{facts['failed']} pictures could not be read for it.")
    return notes + left_out(section)


def left_out(section: dict[str, Any]) -> list[str]:
    """What the manifest has and the figures, or some of them, have not: a sentence each."""
    return [f"{section[name]} {told}" for name, told in _LEFT_OUT if section.get(name)]


def grids(section: dict[str, Any]) -> list[Grid]:
    """Detection beside the baselines; by number of subjects, subject, kind, size and severity.

    Rows and columns that the manifest has no rows for are left out.
    """
    if "absent" in section:
        return []
    found = [
        _detection(section),
        _numbers(section),
        _subjects(section),
        _grid(
            "By defect size",
            section["by_size"],
            (
                ("AUC", "auc"),
                ("right order", "auc_within"),
                ("AUC, mask head", "auc_mask"),
                ("called defective", "called_defective"),
                ("named", "named_recall"),
                ("gIoU, gated", "giou_gated"),
                ("gIoU, raw", "giou_raw"),
            ),
            "Share of the picture that the row's largest defect covers; a defect's name counts by its own size.",
        ),
        _grid(
            "By kind",
            section["by_kind"],
            (
                ("AUC", "auc"),
                ("right order", "auc_within"),
                ("AUC, mask head", "auc_mask"),
                ("named, recall", "named_recall"),
                ("named, precision", "named_precision"),
                ("gIoU, gated", "giou_gated"),
                ("gIoU, raw", "giou_raw"),
            ),
            "Rows with that defect alone against the flawless rows of their pairs; names over all rows.",
        ),
        _grid(
            "By severity",
            section["by_severity"],
            (("called defective", "called_defective"), ("named", "named_recall")),
            "Rows by their worst defect; a defect's name counts by its own severity.",
        ),
    ]
    return [_pruned(grid) for grid in found]


def _pruned(grid: Grid) -> Grid:
    """The grid without rows and columns of which no cell counts anything."""

    def counts(line: Line) -> bool:
        return bool(line.entry["value"] is not None or line.entry["n"] or line.entry["failed"])

    rows = [row for row in grid.rows if any(map(counts, row[2]))]
    kept = [i for i in range(len(grid.columns)) if any(counts(cells[i]) for *_, cells in rows)]
    return Grid(
        grid.title,
        tuple(grid.columns[i] for i in kept),
        tuple((name, n, tuple(cells[i] for i in kept)) for name, n, cells in rows),
        grid.notes,
    )


def _detection(section: dict[str, Any]) -> Grid:
    columns, rows = [], []
    said = section["within_pairs"]["description"]
    n = {part: said[part]["auc"]["n"] + said[part]["auc"]["failed"] for part in _PARTS}
    for part in _PARTS:
        columns += [f"{part}: AUC", f"{part}: right order"]
    for scorer, label in _SCORERS.items():
        cells = []
        for part in _PARTS:
            found = section["within_pairs"][scorer][part]
            cells += [found, _NONE] if "value" in found else [found["auc"], found["auc_within"]]
        cells += [section["against_clean"][part][scorer] for part in ("all", "plain")]
        rows.append((label, None, _lines(cells)))
    return Grid(
        "Detection beside the baselines",
        (*columns, "against clean", "against clean, plain"),
        tuple(rows),
        (
            MASK_HEAD,
            f"Rows of complete pairs: {n['plain']} under plain, {n['justified']} under justified, {n['all']} in all.",
            "Baselines are trained on the other base scenes of the same column. “Against clean” compares with "
            "clean scenes of the same subject under plain prompts; where prompt only is above .5, the prompts tell.",
        ),
    )


def _numbers(section: dict[str, Any]) -> Grid:
    wanted = [("description", part) for part in _PARTS]
    wanted += [("mask_head", "plain"), ("prompt_only", "all"), ("picture_only", "all")]
    rows, numbers = [], section["by_number_of_subjects"]
    for name, found in numbers.items():
        if name == "several" and len(numbers.keys() - {"1"}) == 2:  # the other one says the same
            continue
        cells = [found[scorer][part]["auc"] for scorer, part in wanted]
        rows.append((name, max(cell["n"] for cell in cells), _lines(cells)))
    columns = tuple(f"{_SCORERS[scorer]}, {part}" for scorer, part in wanted)
    note = "AUC over the rows of complete pairs; n: of the column with the most."
    return Grid("By number of subjects", columns, tuple(rows), (note,))


def _subjects(section: dict[str, Any]) -> Grid:
    scorers = [scorer for scorer in _SCORERS if scorer != "above_prompt_only"]
    rows = [
        (name, found["n_defective"], _lines([found[scorer] for scorer in scorers]))
        for name, found in section["against_clean"]["by_subject"].items()
    ]
    note = "AUC of defective rows of the subject (n) against clean scenes that show it."
    return Grid("By subject", tuple(_SCORERS[s] for s in scorers), tuple(rows), (note,))


def _grid(title: str, found: dict[str, Any], columns: tuple[tuple[str, str], ...], note: str) -> Grid:
    rows = [
        (name, figures["n"], _lines([figures[key] for _, key in columns])) for name, figures in found.items()
    ]
    return Grid(title, tuple(label for label, _ in columns), tuple(rows), (note,))


_NONE = {"value": None, "low": None, "high": None, "n": 0, "failed": 0, "note": "not defined"}


def _lines(entries: list[dict[str, Any]]) -> tuple[Line, ...]:
    return tuple(Line("", entry.get("note", ""), entry) for entry in entries)


def _at(section: dict[str, Any], path: str) -> dict[str, Any]:
    for name in path.split("."):
        section = section[name]
    return section
