"""The figures as rows for people: the same ones in the terminal and in the HTML report."""

from typing import Any

from report.benchmark_tables import left_out, scenes_table
from report.lines import Line, Table
from report.mask_tables import masks_table

_DETECTION = (
    ("auc", "AUC of the description", ""),
    ("auc_yes_no", "AUC of yes/no", "equals balanced accuracy"),
    ("f1", "F1", "at the description's yes/no"),
    ("precision", "Precision", "share of images called defective that are"),
    ("recall", "Recall", "share of defective images called defective"),
    ("false_positive_rate", "False-positive rate", "share of clean images called defective"),
    ("accuracy", "Accuracy", "misleading where one class is rare"),
    ("ece", "Calibration error (ECE)", "|share defective − P|, over ten bins of P"),
    ("brier", "Brier score", "mean of (P − label)²"),
    ("auc_mask", "AUC of the mask head", "from its own probability P(mask)"),
)


def tables(metrics: dict[str, Any]) -> list[Table]:
    """Detection, masks, texts, quality: what every run has."""
    return [
        _detection(metrics["detection"]),
        masks_table(metrics["masks"]),
        _texts(metrics["texts"]),
        _quality(metrics["quality"]),
    ]


def _detection(section: dict[str, Any]) -> Table:
    if "absent" in section:
        return Table("Detection", absent=section["absent"])
    lines = []
    for name, label, hint in _DETECTION:
        if name == "auc":
            hint = f"from {section['auc_from']}" if section["auc_from"] else ""
        if name == "auc_yes_no" and section["auc_from"] == "yes/no":
            continue
        if name != "auc_mask" and undescribed(section):
            continue
        lines.append(Line(label, hint, section[name]))
    notes = [f"{section['n_defective']} golden-defective and {section['n_clean']} golden-clean images."]
    if undescribed(section):
        notes.append("The run holds no descriptions: the mask head's own P(defective) is the only one.")
    return Table("Detection", tuple(lines), notes=tuple(notes))


def undescribed(section: dict[str, Any]) -> bool:
    """Whether nothing was described, nor failed to be: lines of the description would be dashes alone."""
    return not section["auc"]["n"] and not section["auc"]["failed"]


def _texts(section: dict[str, Any]) -> Table:
    if "absent" in section:
        return Table("Explanations", absent=section["absent"])
    rows = (
        ("completeness", "Completeness", "0 to 2: is every golden defect acknowledged?"),
        ("precision", "Precision", "0 to 2: do the details agree with the golden text?"),
        ("explanation_score", "Explanation score", "mean of the two means"),
    )
    notes = ["Over golden-defective images with a golden description."]
    if section["without_reference"]:
        notes.append(f"{section['without_reference']} golden-defective images have no golden description.")
    lines = tuple(Line(label, hint, section[name]) for name, label, hint in rows)
    return Table("Explanations", lines, notes=tuple(notes))


def _quality(section: dict[str, Any]) -> Table:
    if "absent" in section:
        return Table("Quality", absent=section["absent"])
    rows = (
        ("srcc", "SRCC", "rank correlation with the golden score"),
        ("plcc", "PLCC", "linear correlation"),
        ("srcc_raw", "SRCC, raw", "the mask head's score, whatever the description says"),
        ("plcc_raw", "PLCC, raw", ""),
    )
    notes: tuple[str, ...] = ()
    if n := section["without_prediction"]:
        notes = (f"{n} samples with a golden score have no predicted one.",)
    # A head with one score has nothing that the description could decide: its raw lines would be the same.
    shown = (
        rows if section["srcc"] != section["srcc_raw"] or section["plcc"] != section["plcc_raw"] else rows[:2]
    )
    return Table(
        "Quality", tuple(Line(label, hint, section[name]) for name, label, hint in shown), notes=notes
    )


def as_text(metrics: dict[str, Any]) -> str:
    """The terminal's table: every figure with its interval, n, and what failed or was left unscored."""
    counts = metrics["counts"]
    described = counts["outcomes"]["not described"] < counts["samples"]
    out = [
        f"{counts['samples']} samples: {counts['ok']} ok, {counts['failed']} failed; "
        + (f"{counts['called_defective']} called defective" if described else "none described")
    ]
    for stage, kinds in metrics["failures"].items():
        out.append(f"  failed at {stage}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    section = metrics.get("scenes")
    scenes = [scenes_table(section)] if section else []
    for table in [*tables(metrics), *scenes]:
        out += ["", f"{table.title:<36}{'value':>7}  {'95 % interval':<16}{'n':>6}{'failed':>8}"]
        if table.absent:
            out.append(f"  absent: {table.absent}")
        for line in table.lines:
            unscored = line.entry.get("unscored")
            more = f"  {unscored} unscored" if unscored else ""
            figures = (
                f"{line.value:>7}  {line.interval:<16}{line.entry['n']:>6}{line.entry['failed']:>8}{more}"
            )
            out.append(f"  {line.label:<34}{figures}".rstrip())
    if "absent" not in metrics["masks"]:
        out.append(
            "  Masks by size, category and generator, every figure: report.html, and `masks` in metrics.json"
        )
    if section and "absent" not in section:
        out += [f"  {note}" for note in left_out(section)]
        out.append("  By subject, kind, size and severity: report.html, and `scenes` in metrics.json")
    out += [f"\nNote: {note}" for note in metrics["notes"]]
    return "\n".join(out)
