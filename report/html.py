"""One self-contained HTML page of a run: no network, no script but its own, every text escaped."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from flawscribe.runs import Run, write_atomically
from report import benchmark_figures, benchmark_tables, figures, mask_tables, reliability, tables
from report.cards import card, choose
from report.evaluate import evaluate
from report.join import OUTCOMES, join

GALLERY = 200
PAGE = 24
"""Cards shown at once; the page's button shows as many more."""

# Characters that hide or reorder text: controls but for tab and newline, bidirectional marks, invisible ones.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_USERINFO = re.compile(r"(?<=//)[^/\s@]+@")


def write_report(run: Run, gallery: int = GALLERY, metrics: dict[str, Any] | None = None) -> Path:
    """Write RUN/report.html, with at most `gallery` samples shown, and return its path.

    `metrics` is what `evaluate` returned; without it the run is evaluated first.
    """
    figures_of_run = metrics if metrics is not None else evaluate(run)
    choice = choose(join(run), gallery)
    chosen = choice.chosen()
    detection = figures_of_run["detection"]
    shown = [name for name in OUTCOMES if any(j.outcome == name for j in chosen)]
    style, script = _asset("report.css"), _asset("report.js")
    page = _environment().get_template("report.html.j2")
    text = page.render(
        run=run.path.resolve().name,
        info=run.info(),
        stages=_stages(run),
        metrics=figures_of_run,
        tiles=_tiles(figures_of_run),
        tables=tables.tables(figures_of_run),
        mask_grids=mask_tables.grids(figures_of_run["masks"]),
        curves=figures.curves(detection),
        operating_point=figures.operating_point(detection),
        bars=figures.bars(detection.get("histogram")),
        side=figures.SIDE,
        points=(points := reliability.points(detection)),
        reliability=detection.get("reliability"),
        most=max((b["n"] for b in detection["reliability"]["bins"]), default=0) if points else 0,
        strip=reliability.STRIP,
        threshold=reliability.threshold_of(run),
        calibration=reliability.calibration_told(run),
        scenes=_scenes(figures_of_run),
        cards=(card(j) for j in chosen),
        total=choice.seen,
        shown=len(chosen),
        outcomes=[(name, sum(j.outcome == name for j in chosen)) for name in shown],
        page_size=PAGE,
        style=Markup(style),  # noqa: S704 our own file
        script=Markup(script),  # noqa: S704 our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    path = run.path / "report.html"
    write_atomically(path, text)
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = lambda text: str(text).replace(" ", "-")
    environment.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    environment.filters["flat"] = flat
    return environment


def visible(value: Any) -> Any:
    """Text with hidden characters shown by their names (`[U+202E]`), so that none poses as something else."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = _HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", value)
    return text.encode("utf-8", "replace").decode()


def flat(value: Any) -> str:
    """A setting as one short text; credentials inside URLs are left out."""
    if isinstance(value, dict):
        text = ", ".join(f"{k} {flat(v)}" for k, v in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        text = ", ".join(flat(v) for v in value)
    else:
        text = (
            {True: "yes", False: "no", None: "none"}[value]
            if value is None or value is True or value is False
            else str(value)
        )
    text = _USERINFO.sub("…@", text)
    return text if len(text) <= 400 else text[:399] + "…"


def _stages(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """What run.json records of each stage, settings first, as flat rows."""
    rows = []
    for name, facts in run.info()["stages"].items():
        settings = facts.get("settings") or {}
        rest = {k: v for k, v in facts.items() if k != "settings" and v not in (None, {}, [])}
        rows.append((name, {**settings, **rest}))
    return rows


def _scenes(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """What the page shows of the section `scenes`, None where the run holds none."""
    if (section := metrics.get("scenes")) is None:
        return None
    return {
        "title": benchmark_tables.title(section),
        "table": replace(benchmark_tables.scenes_table(section), title="Main figures"),
        "grids": benchmark_tables.grids(section),
        "chart": benchmark_figures.size_chart(section),
        "width": benchmark_figures.WIDTH,
        "height": benchmark_figures.HEIGHT,
    }


def _tiles(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any], str, float, float]]:
    """The four headline figures: name, entry, how to read it, the worst and the best possible value."""
    wanted = (
        ("detection", ("auc",), "Detection AUC", 0.0, 1.0),
        ("masks", ("gated", "giou"), "Mask gIoU", 0.0, 1.0),
        ("texts", ("explanation_score",), "Explanation score", 0.0, 2.0),
        ("quality", ("srcc",), "Quality SRCC", -1.0, 1.0),
    )
    tiles = []
    for section, path, title, worst, best in wanted:
        entry = metrics[section]
        for name in path:
            entry = entry.get(name, {"value": None, "note": entry.get("absent", "")})
        note = entry.get("note") or ""
        if section == "detection" and "absent" not in metrics[section]:
            if tables.undescribed(metrics[section]) and metrics[section]["auc_mask"]["n"]:
                entry, note = metrics[section]["auc_mask"], "of the mask head"
            elif entry["value"] is not None:
                note = f"from {metrics[section]['auc_from']}"
        tiles.append((title, entry, note, worst, best))
    return tiles


def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> Markup:
    """A Content-Security-Policy source for exactly this inline text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")  # noqa: S704 base64 alone
