"""Two baselines that see less than they need: the prompt without the picture, the picture without the prompt.

Whatever beats them must have looked at both. Each is a logistic regression, trained and asked in turns: a base
scene's rows are scored by a model that saw no row of that base scene.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from flawscribe.images import ImageFailure, load_image
from report.benchmark_rows import Rows

FOLDS = 5
MOST_PICTURES = 2000
SIDE, BINS, COMPONENTS = 24, 8, 64
SETS = {
    "plain": ("clean", "anomaly"),
    "justified": ("AA", "AB", "BA", "BB"),
    "all": ("clean", "anomaly", "AA", "AB", "BA", "BB"),
    "against_clean": ("clean", "anomaly", "AB", "BA"),
}
"""The arms that a figure is taken over: a baseline is trained on just those, so that it learns what they give away."""


@dataclass(frozen=True)
class Scores:
    """Somebody's scores, higher for defective, by the names of SETS.

    `sets` holds float (n,) over all rows, NaN where a row has none, or the reason why there are no scores;
    `eligible` bool (n,) tells the rows that should have one.
    """

    sets: dict[str, np.ndarray | str]
    eligible: np.ndarray


def same(scores: np.ndarray | str, n: int) -> Scores:
    """Scores that do not depend on what they are compared with; every one of the n rows should have one."""
    return Scores(dict.fromkeys(SETS, scores), np.ones(n, dtype=bool))


def prompt_only(rows: Rows, eligible: np.ndarray) -> Scores:
    """Scores from TF-IDF of the prompts' words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        # The vocabulary is taken from all prompts: that tells nothing of their labels.
        features = TfidfVectorizer(ngram_range=(1, 2)).fit_transform([r.prompt for r in rows.rows])
    except ValueError:
        return Scores(dict.fromkeys(SETS, "the prompts hold no words"), eligible)
    return _scores(rows, eligible, lambda at: features[at])


def picture_only(rows: Rows, eligible: np.ndarray) -> tuple[Scores, dict[str, Any]]:
    """Scores from small pictures (their principal components) and colour histograms, and what was read.

    At most 2000 pictures, of base scenes drawn by a hash of their names; a picture that cannot be read has no score.
    """
    chosen = eligible & sampled(rows)
    features = np.full((len(rows.rows), COMPONENTS + 3 * BINS), np.nan)
    read: list[int] = []
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for i in np.flatnonzero(chosen):
        try:
            seen.append(_look(rows.rows[i].image))
            read.append(int(i))
        except ImageFailure:
            continue
    facts = {
        "pictures": int(chosen.sum()),
        "of": int(eligible.sum()),
        "failed": int(chosen.sum()) - len(read),
    }
    if len(read) < FOLDS:
        return Scores(dict.fromkeys(SETS, "too few pictures could be read"), chosen), facts
    features[read] = _features(np.stack([s for s, _ in seen]), np.stack([h for _, h in seen]))
    return _scores(rows, chosen, lambda at: features[at], np.isfinite(features[:, 0])), facts


def sampled(rows: Rows, most: int = MOST_PICTURES) -> np.ndarray:
    """Whole base scenes of together at most `most` rows, as bool (n,); all of them where there are no more."""
    names = {int(b): r.base for b, r in zip(rows.base, rows.rows, strict=True)}
    sizes = np.bincount(rows.base, minlength=rows.bases)
    order = sorted(names, key=lambda b: hashlib.sha256(names[b].encode("utf-8", "replace")).digest())
    kept = np.array(order, dtype=int)[np.cumsum(sizes[order]) <= most]
    return np.isin(rows.base, kept)


def _look(path: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture as (24 · 24 · 3,) values and (3 · 8,) shares of its pixels by channel, all in 0–1."""
    image = load_image(path)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64).ravel() / 255
    counts = np.array(image.histogram(), dtype=np.float64).reshape(3 * BINS, -1).sum(axis=1)
    return small, counts / (image.width * image.height)


def _features(small: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(n, components + histogram), each with mean 0 and deviation 1; unused components are 0."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    # The components, too, are found without labels, so they may be the same in every fold.
    n = min(COMPONENTS, *small.shape)
    parts = np.zeros((len(small), COMPONENTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pictures that are all the same have no variance to explain
        parts[:, :n] = PCA(n, svd_solver="randomized", random_state=0).fit_transform(small)
    return StandardScaler().fit_transform(np.concatenate([parts, shares], axis=1))


def _scores(
    rows: Rows, eligible: np.ndarray, features: Callable[[np.ndarray], Any], known: np.ndarray | None = None
) -> Scores:
    found: dict[str, np.ndarray | str] = {}
    for name, arms in SETS.items():
        at = np.flatnonzero(np.isin(rows.arm, arms) & eligible & (True if known is None else known))
        scores = out_of_fold(features(at), rows.defective[at], rows.base[at])
        if isinstance(scores, str):
            found[name] = scores
            continue
        whole = np.full(len(rows.rows), np.nan)
        whole[at] = scores
        found[name] = whole
    return Scores(found, eligible)


def out_of_fold(features: Any, labels: np.ndarray, groups: np.ndarray) -> np.ndarray | str:
    """Log-odds of each row by a model that was trained without the row's group, or why there are none."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    if (n := len(np.unique(groups))) < FOLDS:
        return f"cross-validation needs {FOLDS} base scenes, and there are {n}"
    scores = np.empty(len(labels))
    for train, test in GroupKFold(FOLDS).split(features, labels, groups):
        if labels[train].all() or not labels[train].any():
            return "cross-validation needs defective and flawless rows in every fold"
        model = LogisticRegression(class_weight="balanced", max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that has not quite converged is a baseline too
            model.fit(features[train], labels[train])
        # Rounded, so that rows with the same features are equal to the last digit.
        scores[test] = np.round(model.decision_function(features[test]), 9)
    return scores
