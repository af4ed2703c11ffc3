"""The reliability diagram of a run: its figures, what it says of a calibration, and runs that have none to draw."""

import re
from typing import Any

import numpy as np
import pytest
from handmade import NO, YES, Builder, says

from flawscribe.reliability import ece
from flawscribe.runs import Run
from report.evaluate import evaluate
from report.html import write_report
from report.tables import as_text

USED = {"digest": "0123456789abcdef", "temperature": 2.0, "threshold": 0.3, "by": "fpr=0.05"}


def filled(build: Builder, p: list[float | None], labels: str = "yn") -> Run:
    for i, value in enumerate(p):
        golden = YES if labels[i % len(labels)] == "y" else NO
        build.add(str(i), golden, says(value is not None and value >= 0.3, value))
    return build.run()


def figure(run: Run, metrics: dict[str, Any]) -> str:
    page = write_report(run, metrics=metrics).read_text(encoding="utf-8")
    found = re.search(r'<figure class="panel" id="reliability">.*?</figure>', page, re.DOTALL)
    assert found
    return found[0]


def test_the_diagram_has_a_point_and_a_bar_for_each_bin_with_images(build: Builder) -> None:
    p = [0.95, 0.05, 0.9, 0.1, 0.6, 0.65, 0.3, 0.0]
    run = filled(build, [*p, None])
    metrics = evaluate(run)
    detection = metrics["detection"]
    labels = np.array([True, False] * 4)
    assert detection["ece"]["value"] == pytest.approx(ece(labels, np.array(p)), abs=1e-6)
    assert detection["brier"]["value"] == pytest.approx(np.mean((p - labels) ** 2), abs=1e-6)
    assert detection["reliability"]["n"] == 8 and detection["reliability"]["without_probability"] == 1
    drawn = figure(run, metrics)
    assert drawn.count("<rect") == 5 and drawn.count("<title>") == 10
    assert "8 in all (1 have no probability)" in drawn and "No calibration was used" in drawn
    assert "Brier score" in as_text(metrics) and not any("Calibration" in note for note in metrics["notes"])


def test_a_calibration_is_named_and_so_is_that_it_was_fitted_on_these_pictures(build: Builder) -> None:
    build.settings["describe"]["calibration"] = USED
    run = filled(build, [0.9, 0.1] * 4)
    run.note("describe", calibration={"described": 8, "fitted_on": 5, "without_probability": 0})
    metrics = evaluate(run)
    told = (
        "Calibration 0123456789abcdef was used: temperature 2.000, defective at or above 0.300 (by fpr=0.05)."
    )
    flattered = "It was fitted on 5 of these pictures, which flatters this run&#39;s figures."
    assert any(told in note and "fitted on 5 of these" in note for note in metrics["notes"])
    drawn = figure(run, metrics)
    assert (
        told in drawn
        and flattered in drawn
        and "threshold, 0.300" in drawn
        and 'class="level" x1="90.0"' in drawn
    )


@pytest.mark.parametrize(
    ("p", "labels", "said"),
    [
        ([None, None], "yn", "No diagram: no description of an image with a golden label has a probability."),
        ([0.2, 0.9], "y", "No diagram: all 2 images are golden-defective: it takes both."),
        ([0.2, 0.9], "n", "No diagram: all 2 images are golden-clean: it takes both."),
        ([0.5, 0.5], "yn", "Every image has P(defective) = 0.5: there is one point, and no curve."),
    ],
)
def test_what_cannot_be_drawn_is_said(build: Builder, p: list[float | None], labels: str, said: str) -> None:
    run = filled(build, p, labels)
    assert said in figure(run, evaluate(run))


def test_without_labels_there_is_no_figure(build: Builder) -> None:
    build.add("a", None, says(True, 0.9))
    run = build.run()
    assert 'id="reliability"' not in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "used",
    ["<b>", 3, [], {}, {"threshold": "<b>"}, {"threshold": 1e400, "digest": "<b>", "temperature": [1]}],
)
def test_a_forged_calibration_breaks_no_page(build: Builder, used: Any) -> None:
    build.settings["describe"]["calibration"] = used
    run = filled(build, [0.9, 0.1] * 2)
    run.note("describe", calibration=used)
    drawn = figure(run, evaluate(run))
    assert "<b>" not in drawn and "level" not in drawn
