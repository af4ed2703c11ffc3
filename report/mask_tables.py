"""The figures of masks as rows for people: a table of the main ones, and grids of the rest beside the baselines."""

from collections.abc import Sequence
from typing import Any

from report.lines import Grid, Line, Table, on_one_line
from segment.metrics.cards import CARDS
from segment.metrics.regions import SIZES

TITLES = {
    "predicted": "predicted",
    "gated": "gated",
    "raw": "raw",
    "empty": "empty-mask baseline",
    "full": "full-mask baseline",
}
"""The kinds of masks in the order of columns."""
BASELINES = ("empty", "full")
SIZE_TITLES = dict(zip(SIZES, ("under 1 %", "1 to 5 %", "over 5 %"), strict=True))
_HINTS = {
    "giou": "mean of per-image IoU",
    "ciou": "summed intersection over summed union",
    "pixel_f1": "mean of per-image F1",
    "boundary_f": "outlines, within 0.8 % of the diagonal",
    "region_recall_50": "golden regions with one of their own",
}
_BREAKDOWNS = (
    ("by_size", "Masks by defect size", "By the share of the picture that the golden mask covers."),
    ("by_category", "Masks by category", "By the golden category."),
    ("by_generator", "Masks by generator", "By the sample's generator, at most the 100 most frequent."),
    (
        "by_folder",
        "Masks by folder",
        "By the first folder of the file's path, at most the 100 most frequent.",
    ),
)
_GROUP_COLUMNS = (
    ("giou", BASELINES),
    ("ciou", BASELINES[1:]),
    ("pixel_f1", BASELINES[1:]),
    ("boundary_f", ()),
    ("region_recall_50", ()),
)
"""The figures of a group, and the baselines beside them where these are not 0 always or nearly."""
_MOST_LETTERS = 60


def masks_table(section: dict[str, Any]) -> Table:
    """The main figures of a run's masks."""
    if "absent" in section:
        return Table("Masks", absent=section["absent"])
    lines = []
    variants = variants_of(section)
    called = {v: f", {v}" if "raw" in variants else "" for v in variants} | {
        v: f", {TITLES[v]}" for v in BASELINES
    }
    for variant in variants:
        names = tuple(_HINTS) if variant not in BASELINES else ("giou",)
        lines += [
            Line(_short(name) + called[variant], _HINTS[name], section[variant][name]) for name in names
        ]
    for title, name, hint in (
        ("Flawless images marked", "clean_marked", "share of golden-flawless images with any marked pixel"),
        ("False area", "false_area", "mean marked share of golden-flawless images"),
    ):
        lines += [Line(title + called[v], hint, section[name][v]) for v in variants if v not in BASELINES]
    notes = ["Of defective pixels alone, over golden-defective images with a golden mask."]
    if section["gated_by"]:
        notes.append(
            "A gated mask is blank where the description says flawless; a raw one is the head's own."
        )
    if section["without_golden_mask"]:
        notes.append(f"{section['without_golden_mask']} golden-defective images have no golden mask.")
    if failures := section["golden_mask_failures"]:
        notes.append(f"{sum(failures.values())} golden masks could not be used.")
    return Table("Masks", tuple(lines), notes=tuple(notes))


def _short(name: str) -> str:
    """A figure's title as it fits the terminal's table."""
    return CARDS[name].title.replace(" (Dice)", "")


def grids(section: dict[str, Any]) -> list[Grid]:
    """Every figure beside the baselines; regions by their size; by size, category, generator, folder, where known."""
    if "absent" in section:
        return []
    found = [_every(section), _regions(section)]
    for name, title, note in _BREAKDOWNS:
        if groups := section.get(name):
            found.append(_groups(title, note, groups, variants_of(section)))
    return [grid for grid in found if grid.rows]


def variants_of(section: dict[str, Any]) -> list[str]:
    """The kinds of masks that a section has; where nothing gates them, gated and raw are the same and one stands."""
    same = ("raw",) if section.get("gated_by", True) is None else ()
    return [name for name in TITLES if name in section and name not in same]


def _titles(variants: list[str]) -> dict[str, str]:
    """Columns' titles; where nothing gates the masks, they are not called gated."""
    return TITLES if "raw" in variants else TITLES | {"gated": TITLES["predicted"]}


def _lines(entries: Sequence[dict[str, Any]]) -> tuple[Line, ...]:
    return tuple(Line("", entry.get("note", ""), entry) for entry in entries)


def _every(section: dict[str, Any]) -> Grid:
    variants = variants_of(section)
    names = [name for name in CARDS if name in section[variants[0]]]
    found = {name: [section[v][name] for v in variants] for name in names}
    found |= {name: [section[name][v] for v in variants] for name in ("clean_marked", "false_area")}
    rows = tuple(
        (CARDS[name].title, cells[0]["n"], _lines(cells))
        for name, cells in found.items()
        if any(cell["n"] or cell["failed"] for cell in cells)
    )
    notes = (
        "Means are over golden-defective images with a golden mask, cumulative figures over all their pixels or "
        "regions.",
        "2-class mIoU counts the background as a class: an empty mask gets near .5. It does not compare with gIoU.",
    )
    columns = tuple(_titles(variants)[v] for v in variants)
    return Grid("Masks, every figure", columns, rows, notes)


def _regions(section: dict[str, Any]) -> Grid:
    """Recall of golden regions by their own size, whatever image they are in."""
    variants = variants_of(section)
    columns = [(t, v) for v in variants if v != "empty" for t in (30, 50)]
    rows = []
    for size, title in SIZE_TITLES.items():
        cells = [section[v][f"region_recall_{t}_{size}"] for t, v in columns]
        if cells[0]["n"]:
            rows.append((title, cells[0]["n"], _lines(cells)))
    called = _titles(variants)
    titles = tuple(f"IoU .{t // 10}, {called[v]}" for t, v in columns)
    note = (
        "Share of golden regions (8-connected; n) that a predicted region of their own matches. The empty mask "
        "finds none."
    )
    return Grid("Golden regions found, by their size", titles, tuple(rows), (note,))


def _groups(title: str, note: str, groups: dict[str, Any], variants: list[str]) -> Grid:
    columns = []
    for name, baselines in _GROUP_COLUMNS:
        # Of masks that are not blanked there is one more column alone: the table would be too wide.
        shown = (variants[0], *(("raw",) if name == "giou" and "raw" in variants else ()), *baselines)
        columns += [(name, v) for v in shown]
    rows = [
        (
            SIZE_TITLES.get(group, on_one_line(group, _MOST_LETTERS)),
            figures["n"],
            _lines([figures[v][name] for name, v in columns]),
        )
        for group, figures in groups.items()
    ]
    called = _titles(variants)
    titles = tuple(f"{_short(name)}, {called[v].replace('-mask baseline', ' mask')}" for name, v in columns)
    told = (
        f"{note} n counts images with a golden mask, failed ones too.",
        "Left out: the empty mask's cIoU, F1, outlines and regions are 0, the full mask's outlines too.",
    )
    return Grid(title, titles, tuple(rows), told)
