"""Temperatures and thresholds against what is known of them, and the command that fits them on a run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from describe.calibrate import calibrate, fit_temperature, labelled, rescaled
from describe.calibrate_command import calibrate as command
from describe.calibration import COOLEST, HOTTEST, Calibration, check, read, scaled, write
from describe.thresholds import best, rule
from flawscribe.errors import UserError
from flawscribe.records import Description, Failure, FailureKind, Golden, Row, Sample
from flawscribe.runs import Run

SETTINGS = {"model": "m", "revision": "r", "protocol": "single", "prompt": "describe v1 0", "max_tokens": 9}


def drawn(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are theirs but for the temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-logits))
    return labels, 1 / (1 + np.exp(-logits * temperature))


def described(folder: Path, labels: Any, p: Any, settings: dict[str, Any] | None = None, **more: Any) -> Run:
    """A run of pictures that differ, with these golden labels and probabilities (a Failure: a row that failed)."""
    samples, rows = [], []
    for i, (label, value) in enumerate(zip(labels, p, strict=True)):
        image = folder / f"{i}.png"
        Image.new("RGB", (4, 4), (i % 256, i // 256, 7)).save(image)
        golden = None if label is None else Golden(defective=bool(label))
        samples.append(Sample(id=str(i), image=str(image), golden=golden))
        if isinstance(value, Failure):
            rows.append(Row(id=str(i), key="k", failure=value))
            continue
        yes = value is not None and value >= 0.5
        found = Description(defective=yes, p_defective=value, text="Odd." if yes else "", **more)
        rows.append(Row(id=str(i), key="k", record=found.model_dump(mode="json")))
    run = Run.create(folder / "run")
    run.set_samples("test", samples)
    run.begin("describe", SETTINGS if settings is None else settings)
    with run.writer("describe") as put:
        for row in rows:
            put(row)
    return run


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_comes_out(temperature: float) -> None:
    labels, p = drawn(20_000, temperature)
    assert fit_temperature(labels, p) == pytest.approx(temperature, rel=0.05)


def test_where_the_labels_determine_no_temperature_it_is_at_its_bound() -> None:
    labels = np.array([True, False] * 20)
    assert fit_temperature(labels, np.where(labels, 0.8, 0.1)) == pytest.approx(COOLEST)
    assert fit_temperature(labels, np.where(labels, 0.1, 0.8)) == pytest.approx(HOTTEST)


@given(st.floats(0, 1), st.floats(0.1, 100))
def test_one_probability_is_scaled_as_many_are(p: float, temperature: float) -> None:
    assert scaled(p, temperature) == pytest.approx(float(rescaled(np.array([p]), temperature)[0]), abs=1e-12)
    assert 0 <= scaled(p, temperature) <= 1


FEW = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=25).filter(
    lambda pairs: 0 < sum(label for label, _ in pairs) < len(pairs)
)


@given(FEW, st.sampled_from(["youden", "fpr=0", "fpr=0.05", "fpr=0.3", "costs=10:1", "costs=1:3.5"]))
def test_no_other_threshold_is_better(pairs: list[tuple[bool, int]], by: str) -> None:
    labels, p = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]) / 8
    positive, negative = int(labels.sum()), int((~labels).sum())

    def worth(threshold: float) -> float:
        hits, alarms = int((p[labels] >= threshold).sum()), int((p[~labels] >= threshold).sum())
        if by == "youden":
            return hits / positive - alarms / negative
        if by.startswith("fpr="):
            return hits if alarms / negative <= float(by[4:]) else -math.inf
        missed, alarm = map(float, by[6:].split(":"))
        return -(missed * (positive - hits) + alarm * alarms)

    threshold = best(rule(by), labels, p)
    assert worth(threshold) == pytest.approx(max(worth(x) for x in [0, *np.unique(p), 2]))
    assert threshold not in p[p > 0]


@pytest.mark.parametrize(
    "by",
    ["", "Youden", "fpr=1", "fpr=-1", "fpr=.", "costs=1", "costs=0:1", "costs=1:1.1.1", "fpr=" + "0" * 5000],
)
def test_rules_that_are_none_are_refused(by: str) -> None:
    with pytest.raises(UserError, match="is none of youden, fpr=RATE"):
        rule(by)


def test_a_run_is_fitted_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    labels, p = drawn(150, 2.0)
    lost = Failure(stage="describe", kind=FailureKind.TIMEOUT, message="no answer")
    run = described(tmp_path, [*labels, True, False, None], [*p, None, lost, 0.5])
    fit = calibrate(run, "fpr=0.1")
    found, figures = fit.calibration, fit.figures
    assert (found.n, found.n_defective) == (150, labels.sum()) and len(found.images) == 150
    assert (fit.data.without_probability, fit.data.failed, fit.data.unlabelled) == (1, 1, 1)
    assert found.fitted_for == {name: value for name, value in SETTINGS.items() if name != "max_tokens"}
    assert found.temperature == pytest.approx(2.0, rel=0.4)
    low, high = figures.temperature.low, figures.temperature.high
    assert low is not None and high is not None and low < 2.0 < high
    above = np.array([found.probability(value) >= found.threshold for value in p])
    assert above[~labels].mean() <= 0.1 and figures.sensitivity[0].value == above[labels].mean()
    assert (
        figures.crossed is not None and figures.fitted["nll"] < figures.crossed["nll"] < figures.before["nll"]
    )
    assert sum("Left out: 1 labelled images" in note for note in fit.notes) == 2
    assert any("flatters" in note for note in fit.notes)


def test_of_a_calibrated_run_the_models_own_probabilities_are_fitted(tmp_path: Path) -> None:
    run = described(tmp_path, [True, False] * 10, [0.9] * 20, p_raw=0.4)
    assert set(labelled(run).p) == {0.4}


def test_few_and_separable_data_are_told(tmp_path: Path) -> None:
    fit = calibrate(described(tmp_path, [True, False] * 4, [0.9, 0.2] * 4))
    assert any("8 images, 4 of the rarer kind, are few" in note for note in fit.notes)
    assert any("separates these labels" in note for note in fit.notes)


@pytest.mark.parametrize(
    ("labels", "p", "settings", "why"),
    [
        ([None, None], [0.1, 0.9], None, "no described image has a golden label"),
        ([True, True], [0.1, 0.9], None, "all 2 labelled images are defective"),
        ([False, False], [0.1, 0.9], None, "all 2 labelled images are flawless"),
        ([True, False], [None, None], None, "no labelled image has a P"),
        ([True, False], [0.1, 0.9], {"descriptions": "a.jsonl", "digest": "0"}, "made elsewhere"),
        ([True, False], [0.1, 0.9], None, "calling no image defective is worth most"),
    ],
)
def test_a_run_that_gives_nothing_to_fit_on_is_refused(
    tmp_path: Path, labels: Any, p: Any, settings: dict[str, Any] | None, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        calibrate(described(tmp_path, labels, p, settings))


def test_the_command_writes_a_file_that_reads_back_and_none_over_another(tmp_path: Path) -> None:
    labels, p = drawn(60, 2.0)
    run = described(tmp_path, labels, p)
    file = tmp_path / "c.json"
    shown = CliRunner().invoke(command, [str(run.path), "-o", str(file)], catch_exceptions=False)
    assert (
        shown.exit_code == 0 and "cross-validated (5 folds)" in shown.output and "prevalence" in shown.output
    )
    found = read(file)
    again = CliRunner().invoke(command, [str(run.path), "-o", str(file)])
    assert isinstance(again.exception, UserError) and "is there already" in str(again.exception)
    told = json.loads(
        CliRunner().invoke(command, [str(run.path), "-o", str(file), "--force", "--json"]).output
    )
    assert told["temperature"] == found.temperature and read(file).labels == found.labels
    with pytest.raises(UserError, match="there is no folder"):
        write(found, tmp_path / "no" / "c.json")


NESTED = '{"a":' * 900 + "1" + "}" * 900


def made(**changes: Any) -> Calibration:
    values: dict[str, Any] = {
        "schema": 1,
        "fitted_for": {k: v for k, v in SETTINGS.items() if k != "max_tokens"},
        "temperature": 2.0,
        "threshold": 0.4,
        "by": "youden",
        "n": 2,
        "n_defective": 1,
        "labels": "0" * 16,
        "images": (),
        "figures": {},
        "date": "",
        "flawscribe": "",
    }
    return Calibration(**values | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        "\udcff",
        "{}",
        made().model_dump_json(by_alias=True).replace('"threshold":0.4', '"threshold":NaN'),
        made().model_dump_json(by_alias=True).replace('"threshold":0.4', '"threshold":1.4'),
        made().model_dump_json(by_alias=True).replace('"temperature":2.0', '"temperature":0'),
        made().model_dump_json(by_alias=True).replace('"temperature":2.0', '"temperature":"2\\u001b[31m"'),
        made().model_dump_json(by_alias=True).replace('"temperature":2.0', '"temperature":true'),
        made().model_dump_json(by_alias=True).replace('"figures":{}', f'"figures":{NESTED}'),
        made().model_dump_json(by_alias=True).replace('"schema":1', '"schema":2'),
        made().model_dump_json(by_alias=True).replace('"schema":1,', ""),
        made().model_dump_json(by_alias=True).replace('"n":2', '"n":2,"more":1'),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="is no calibration") as e:
        read(file)
    assert str(e.value).isprintable()


def test_a_file_that_is_not_there_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "c.json")
    with pytest.raises(UserError, match="not a regular file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "other"}, "another model: 'm', and this is 'other'"),
        ({"revision": "s"}, "another revision"),
        ({"protocol": "zoom"}, "another protocol"),
        ({"prompt": "describe v2 1"}, "another prompt"),
        ({"samples": 3}, "another samples: None, and this is 3"),
        ({"params": {"top_p": 0.9}}, "another params"),
    ],
)
def test_what_was_fitted_for_something_else_is_refused(changes: dict[str, Any], named: str) -> None:
    check(made(), {**SETTINGS, "max_tokens": 5, "seed": 3}, "c.json")
    with pytest.raises(UserError, match=named):
        check(made(), {**SETTINGS, **changes}, "c.json")
