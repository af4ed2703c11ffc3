"""Fitting a calibration on a run's golden labels, and what to expect of it on other images."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from describe.calibration import COOLEST, HOTTEST, Calibration, about_p
from describe.protocol import STAGE
from describe.thresholds import Rule, best, rule
from flawscribe import __version__, reliability, statistics
from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure
from flawscribe.records import Description
from flawscribe.reliability import EPSILON
from flawscribe.runs import Run, record_of
from flawscribe.statistics import Estimate

FOLDS = 5
RESAMPLES = 400  # each fits anew; fewer, at least 100, of more than 5000 images
FEW, FEW_OF_A_CLASS = 100, 30
_MEASURES = {"nll": reliability.nll, "brier": reliability.brier, "ece": reliability.ece}


@dataclass(frozen=True)
class Labelled:
    """The labelled images of a run: bool (n,) `labels`, float (n,) `p` as the model gave them, and who is missing.

    `pictures` and `pairs` are digests of the pictures' bytes, and of picture, prompt and label together.
    """

    labels: np.ndarray
    p: np.ndarray
    pictures: tuple[str, ...]
    pairs: tuple[str, ...]
    without_probability: int
    failed: int
    unlabelled: int


@dataclass(frozen=True)
class Figures:
    """Each measure before, fitted (on the very images that are measured) and cross-validated (None: too few).

    `sensitivity` and `specificity` at the threshold have 95 % Wilson intervals, `temperature` and `threshold`
    bootstrap ones.
    """

    before: dict[str, float]
    fitted: dict[str, float]
    crossed: dict[str, float] | None
    folds: int
    temperature: Estimate
    threshold: Estimate
    sensitivity: tuple[Estimate, Estimate | None]
    specificity: tuple[Estimate, Estimate | None]


@dataclass(frozen=True)
class Fit:
    """A calibration with its figures, and what to know before believing them."""

    calibration: Calibration
    figures: Figures
    data: Labelled
    notes: tuple[str, ...]


def calibrate(run: Run, by: str = "youden") -> Fit:
    """Fit a temperature and a threshold (`by`, see `describe.thresholds.rule`) on the run's golden labels.

    UserError where the run gives nothing to fit on: no labels, no probabilities, one class alone, or a rule under
    which no threshold is worth having.
    """
    chosen = rule(by)
    settings = run.settings(STAGE)
    if "model" not in settings:
        how = "descriptions were made elsewhere" if settings else "images are not described yet"
        raise UserError(
            f"{run.path}: its {how}, so there is no model to calibrate: flawscribe describe it first"
        )
    data = labelled(run)
    _check(run, data)
    labels, p = data.labels, data.p
    temperature = fit_temperature(labels, p)
    scaled = rescaled(p, temperature)
    threshold = best(chosen, labels, scaled)
    if not 0 < threshold < math.inf:
        what = "no" if threshold else "every"
        raise UserError(
            f"by {by}, calling {what} image defective is worth most here, which takes no threshold: P(defective) "
            "tells these labels apart too little for that rule; try --by youden"
        )
    figures = _figures(data, chosen, temperature, threshold)
    calibration = Calibration(
        schema=1,
        fitted_for=about_p(settings),
        temperature=temperature,
        threshold=threshold,
        by=by,
        n=len(labels),
        n_defective=int(labels.sum()),
        labels=hashlib.sha256("\n".join(sorted(data.pairs)).encode()).hexdigest()[:16],
        images=tuple(sorted(set(data.pictures))),
        figures=_as_json(figures),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        flawscribe=__version__,
    )
    return Fit(calibration, figures, data, tuple(_notes(data, calibration)))


def labelled(run: Run) -> Labelled:
    """The run's images that have a golden label and a probability; of calibrated rows the model's own."""
    row_of, digests = run.lookup(STAGE), Digests(run.path)
    labels, p, pictures, pairs = list[bool](), list[float](), list[str](), list[str]()
    without = failed = unlabelled = 0
    for sample in run.samples():
        if sample.golden is None:
            unlabelled += 1
            continue
        row = row_of(sample.id)
        if row is None or not row.ok:
            failed += 1
            continue
        found = record_of(row, Description, STAGE)
        raw = found.p_defective if found.p_raw is None else found.p_raw
        if raw is None:
            without += 1
            continue
        labels.append(sample.golden.defective)
        p.append(raw)
        try:
            picture = digests.digest(sample.image)[:16]
            pictures.append(picture)
        except ImageFailure:  # gone since
            picture = sample.id
        pairs.append(hashlib.sha256(repr((picture, sample.prompt, labels[-1])).encode()).hexdigest())
    return Labelled(
        np.array(labels, dtype=bool), np.array(p), tuple(pictures), tuple(pairs), without, failed, unlabelled
    )


def fit_temperature(labels: np.ndarray, p: np.ndarray) -> float:
    """The temperature at which scaled probabilities give the labels the least negative log-likelihood.

    In [0.1, 100]. The likelihood is convex in 1 / temperature, so there is one minimum. For bool (n,) labels
    and float (n,) probabilities.
    """
    from scipy.optimize import minimize_scalar

    signed = np.where(labels, 1.0, -1.0) * _logit(p)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    bounds = math.log(COOLEST), math.log(HOTTEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    # Brent's method comes near a bound but does not reach it.
    at = min((*bounds, float(found.x)), key=loss)
    return min(max(math.exp(at), COOLEST), HOTTEST)


def rescaled(p: np.ndarray, temperature: float) -> np.ndarray:
    """`describe.calibration.scaled` of float (n,) probabilities."""
    from scipy.special import expit

    return np.asarray(expit(_logit(p) / temperature))


def _logit(p: np.ndarray) -> np.ndarray:
    kept = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _check(run: Run, data: Labelled) -> None:
    if not len(data.labels):
        if data.without_probability:
            raise UserError(
                f"{run.path}: no labelled image has a P(defective): its engine gives no token probabilities"
            )
        raise UserError(
            f"{run.path}: no described image has a golden label: a calibration is fitted on labels (column defective)"
        )
    if data.labels.all() or not data.labels.any():
        which = "defective" if data.labels.all() else "flawless"
        raise UserError(
            f"{run.path}: all {len(data.labels)} labelled images are {which}: a calibration needs both kinds"
        )


def _figures(data: Labelled, by: Rule, temperature: float, threshold: float) -> Figures:
    labels, p = data.labels, data.p
    scaled = rescaled(p, temperature)
    folds = min(FOLDS, int(labels.sum()), int((~labels).sum()))
    crossed = yes = None
    if folds >= 2:
        crossed, yes = _crossed(labels, p, by, folds)
    resamples = max(100, min(RESAMPLES, 2_000_000 // len(labels)))

    def again(statistic: Callable[[np.ndarray, np.ndarray], float], values: np.ndarray) -> Estimate:
        def of_both(told: np.ndarray, values: np.ndarray) -> float:
            both = 0 < told.sum() < len(told)
            return statistic(told > 0.5, values) if both else math.nan

        return statistics.bootstrap(of_both, labels, values, resamples=resamples)

    temperatures = again(fit_temperature, p)
    thresholds = again(lambda told, values: best(by, told, values), scaled)
    return Figures(
        before=_measured(labels, p),
        fitted=_measured(labels, scaled),
        crossed=None if crossed is None else _measured(labels, crossed),
        folds=folds if folds >= 2 else 0,
        temperature=temperatures,
        threshold=thresholds,
        sensitivity=(_rate(scaled[labels] >= threshold), None if yes is None else _rate(yes[labels])),
        specificity=(_rate(scaled[~labels] < threshold), None if yes is None else _rate(~yes[~labels])),
    )


def _crossed(labels: np.ndarray, p: np.ndarray, by: Rule, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Each image's probability and verdict under what was fitted without its fold."""
    from sklearn.model_selection import StratifiedKFold

    scaled, yes = np.empty(len(p)), np.empty(len(p), dtype=bool)
    for rest, fold in StratifiedKFold(folds, shuffle=True, random_state=0).split(p, labels):
        temperature = fit_temperature(labels[rest], p[rest])
        threshold = best(by, labels[rest], rescaled(p[rest], temperature))
        scaled[fold] = rescaled(p[fold], temperature)
        yes[fold] = scaled[fold] >= threshold
    return scaled, yes


def _measured(labels: np.ndarray, p: np.ndarray) -> dict[str, float]:
    return {name: measure(labels, p) for name, measure in _MEASURES.items()}


def _rate(hits: np.ndarray) -> Estimate:
    return statistics.share(int(hits.sum()), len(hits))


def _as_json(figures: Figures) -> dict[str, Any]:
    def told(estimate: Estimate | None) -> list[float | None] | None:
        return None if estimate is None else [estimate.value, estimate.low, estimate.high]

    return {
        "before": figures.before,
        "fitted": figures.fitted,
        "cross_validated": figures.crossed,
        "folds": figures.folds,
        "temperature": told(figures.temperature),
        "threshold": told(figures.threshold),
        "sensitivity": [told(e) for e in figures.sensitivity],
        "specificity": [told(e) for e in figures.specificity],
    }


def _notes(data: Labelled, calibration: Calibration) -> list[str]:
    """What to know before believing the figures."""
    n, least = len(data.labels), min(calibration.n_defective, calibration.n - calibration.n_defective)
    notes = [
        "The fitted column is measured on the images that were fitted on, which flatters it. Judge the calibration on "
        "the cross-validated one, or on a run with other images."
    ]
    if n < FEW or least < FEW_OF_A_CLASS:
        notes.append(f"{n} images, {least} of the rarer kind, are few: mind the intervals.")
    if calibration.temperature <= COOLEST * 1.001:
        notes.append(
            "P(defective) separates these labels (nearly) without error, so that they do not determine a temperature: "
            f"it is at its lower bound, {COOLEST:g}, and P is driven to 0 and 1. Take more, or harder, images."
        )
    if calibration.temperature >= HOTTEST * 0.999:
        notes.append(
            "P(defective) says nothing about these labels: the temperature is at its upper bound, "
            f"{HOTTEST:g}, and every P near .5."
        )
    for count, what in (
        (data.without_probability, "have no P(defective)"),
        (data.failed, "failed or are not described yet"),
    ):
        if count:
            notes.append(f"Left out: {count} labelled images that {what}.")
    if calibration.fitted_for.get("model") == "nano":
        notes.append("nano was trained on drawn scenes: this holds for drawn scenes alone.")
    return notes
