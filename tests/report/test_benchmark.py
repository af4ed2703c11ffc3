"""The section `scenes`: describers whose figures are known by construction."""

from typing import Any

import numpy as np
import pytest
from bases import A, B, add_scenes, blind, deaf, figure, perfect
from handmade import HOSTILE, YES, Builder, prediction, says
from sklearn.metrics import roc_auc_score

from flawscribe.records import Description
from report.benchmark import benchmark
from report.benchmark_tables import grids, scenes_table
from report.evaluate import evaluate
from report.html import write_report
from report.resamples import Resamples
from report.tables import as_text


def values(section: dict[str, Any], scorer: str) -> dict[str, tuple[float, float]]:
    found = section["within_pairs"][scorer]
    return {
        part: (figures["auc"]["value"], figures["auc_within"]["value"]) for part, figures in found.items()
    }


def half() -> dict[str, tuple[float, float]]:
    return dict.fromkeys(("plain", "justified", "all"), (0.5, 0.5))


def test_a_perfect_describer_wins_everything(build: Builder) -> None:
    add_scenes(build, 6, perfect)
    section = benchmark(build.run())
    assert (section["n"], section["base_scenes"], section["scored_by"]) == (36, 6, "probability")
    assert section["pairs"] == {
        "plain": 6, "same_prompt": 12, "same_picture": 12, "justified": 24, "all": 30,
    }  # fmt: skip
    assert set(values(section, "description").values()) == {(1.0, 1.0)}
    assert figure(section["within_pairs"]["description"]["all"]["auc"]) == (1.0, 36, 0)
    assert figure(section["within_pairs"]["description"]["all"]["auc_within"]) == (1.0, 30, 0)
    assert values(section, "prompt_only") == half()
    above = section["within_pairs"]["above_prompt_only"]["all"]
    assert (above["value"], above["low"], above["high"]) == (0.5, 0.5, 0.5)
    # The mask head and the baseline see the anomaly, but no prompt.
    for scorer in ("mask_head", "picture_only"):
        assert values(section, scorer)["plain"] == (1.0, 1.0)
        assert values(section, scorer)["justified"] == (0.5, 0.5)
    detection, by_number = grids(section)[:2]
    assert "Rows of complete pairs: 12 under plain, 24 under justified, 36 in all." in detection.notes
    assert [(name, n) for name, n, _ in by_number.rows] == [
        ("1", 24),
        ("2", 12),
    ]  # "several" would repeat "2"
    numbers = section["by_number_of_subjects"]
    assert {name: figures["description"]["all"]["auc"]["n"] for name, figures in numbers.items()} == {
        "1": 24, "2": 12, "several": 12,
    }  # fmt: skip
    assert {name: figure(entry) for name, entry in section["justification"].items()} == {
        "justified_called_flawless": (1.0, 12, 0),
        "unjustified_called_defective": (1.0, 12, 0),
        "whole_square": (1.0, 6, 0),
    }
    assert {name: figure(entry) for name, entry in section["named"].items()} == {
        "recall": (1.0, 18, 0),
        "precision": (1.0, 18, 0),
    }
    subjects = section["against_clean"]["by_subject"]
    assert (subjects["clock"]["n_defective"], subjects["clock"]["n_clean"]) == (18, 6)
    assert figure(subjects["clock"]["description"]) == (1.0, 24, 0)
    # Nothing is wrong with any mug, so that the mean is over clocks.
    assert subjects["mug"]["description"]["value"] is None
    assert figure(section["against_clean"]["all"]["description"]) == (1.0, 24, 0)


def test_kinds_sizes_severities_and_masks(build: Builder) -> None:
    add_scenes(build, 6, perfect)
    section = benchmark(build.run())
    kinds = section["by_kind"]
    assert {kind: figures["n"] for kind, figures in kinds.items()} == {A: 12, B: 6}
    # A is defective in `anomaly` (against `clean`) and AB (against AA and BB), B in BA (against AA and BB).
    assert figure(kinds[A]["auc"]) == (1.0, 30, 0) and figure(kinds[A]["auc_within"]) == (1.0, 18, 0)
    assert figure(kinds[B]["auc"]) == (1.0, 18, 0) and figure(kinds[B]["auc_within"]) == (1.0, 12, 0)
    assert figure(kinds[A]["auc_mask"]) == (1.0, 12, 0) and kinds[B]["auc_mask"]["value"] is None
    for kind, n in ((A, 12), (B, 6)):
        for name in ("called_defective", "named_recall", "named_precision", "giou_raw", "giou_gated"):
            assert figure(kinds[kind][name]) == (1.0, n, 0), name
    sizes = section["by_size"]
    assert {name: figures["n"] for name, figures in sizes.items() if figures["n"]} == {
        "1–2 %": 12,
        "5–10 %": 6,
    }
    assert figure(sizes["1–2 %"]["auc_within"]) == (1.0, 18, 0)
    assert figure(sizes["5–10 %"]["named_recall"]) == (1.0, 6, 0)
    assert sizes["> 20 %"]["auc"]["value"] is None
    assert figure(section["by_severity"]["severe"]["called_defective"]) == (1.0, 18, 0)
    assert figure(section["by_severity"]["severe"]["named_recall"]) == (1.0, 18, 0)
    assert section["by_severity"]["minor"]["n"] == 0
    assert {name: figure(entry) for name, entry in section["masks"].items()} == {
        "giou_raw": (1.0, 18, 0),
        "giou_gated": (1.0, 18, 0),
        "clean_marked_raw": (0.0, 6, 0),
        "clean_marked_gated": (0.0, 6, 0),
        # The head marks what is drawn; the description, which says flawless, blanks it.
        "justified_marked_raw": (1.0, 12, 0),
        "justified_marked_gated": (0.0, 12, 0),
    }


def test_reading_the_prompt_alone_wins_nothing_within_pairs(build: Builder) -> None:
    add_scenes(build, 6, blind)
    section = benchmark(build.run())
    assert values(section, "description") == half() == values(section, "prompt_only")
    assert section["within_pairs"]["above_prompt_only"]["all"]["value"] == 0
    assert section["justification"]["whole_square"]["value"] == 0
    # Against clean scenes the odd prompts of AB and BA do tell, and the baseline says so.
    against = section["against_clean"]
    assert against["all"]["description"]["value"] == pytest.approx((2 + 0.5) / 3, abs=1e-6)
    assert against["all"]["prompt_only"]["value"] == pytest.approx((2 + 0.5) / 3, abs=1e-6)
    assert against["all"]["above_prompt_only"]["value"] == 0
    assert against["plain"]["description"]["value"] == against["plain"]["prompt_only"]["value"] == 0.5
    # It names hands everywhere: right in AB alone of four rows, and it misses half of the defects that it calls.
    assert figure(section["named"]["precision"]) == (0.25, 24, 0)
    assert figure(section["named"]["recall"]) == (pytest.approx(1 / 3, abs=1e-6), 18, 0)


def test_seeing_without_reading_fails_the_justified_half(build: Builder) -> None:
    add_scenes(build, 6, deaf)
    section = benchmark(build.run())
    found = values(section, "description")
    assert found["plain"] == (1.0, 1.0) and found["justified"] == (0.5, 0.5)
    assert found["all"][1] == pytest.approx((6 * 1 + 24 * 0.5) / 30)
    assert section["against_clean"]["all"]["description"]["value"] == 1.0
    assert {name: entry["value"] for name, entry in section["justification"].items()} == {
        "justified_called_flawless": 0.0,
        "unjustified_called_defective": 1.0,
        "whole_square": 0.0,
    }
    assert figure(section["named"]["precision"]) == (0.6, 30, 0)
    assert section["masks"]["justified_marked_gated"]["value"] == 1.0


def test_few_base_scenes_have_no_baselines_but_the_rest(build: Builder) -> None:
    add_scenes(build, 4, perfect)
    section = benchmark(build.run())
    for scorer in ("prompt_only", "picture_only"):
        entry = section["within_pairs"][scorer]["all"]["auc"]
        assert entry["value"] is None and "5 base scenes" in entry["note"]
    assert section["within_pairs"]["above_prompt_only"]["all"]["value"] is None
    assert values(section, "description")["all"] == (1.0, 1.0)


def test_yes_and_no_stand_in_for_a_probability(build: Builder) -> None:
    def describe(picture: str, prompt: str, base: int) -> Description:
        return perfect(picture, prompt, base).model_copy(update={"p_defective": None})

    add_scenes(build, 2, describe)
    section = benchmark(build.run())
    assert (section["scored_by"], section["without_probability"]) == ("yes/no", 12)
    assert values(section, "description")["all"] == (1.0, 1.0)


def test_a_run_without_masks_or_without_descriptions(build: Builder, tmp_path_factory: Any) -> None:
    add_scenes(build, 5, perfect, lambda picture, base: None)
    section = benchmark(build.run())
    assert section["within_pairs"]["mask_head"]["plain"]["auc"]["note"] == "the run holds no masks"
    assert figure(section["masks"]["giou_raw"]) == (None, 0, 0)
    assert values(section, "description")["all"] == (1.0, 1.0)
    other = Builder(tmp_path_factory.mktemp("masks"))
    add_scenes(other, 5, lambda picture, prompt, base: None)
    section = benchmark(other.run())
    assert section["scored_by"] is None
    assert figure(section["named"]["recall"]) == figure(section["named"]["precision"]) == (None, 0, 0)
    assert values(section, "prompt_only") == half()
    assert values(section, "mask_head")["plain"] == (1.0, 1.0)
    assert section["masks"]["justified_marked_gated"]["value"] == 1.0
    labels = {line.label for line in scenes_table(section).lines}
    assert "gIoU" in labels and not any("gated" in label or "raw" in label for label in labels)


def test_shifts_make_no_pairs_with_each_other_and_stand_in_the_title(build: Builder) -> None:
    add_scenes(build, 3, perfect)
    # The same base scenes, tinted: the flawless rows here are likelier than the defective rows above.
    add_scenes(
        build,
        3,
        lambda *scene: Description(
            defective=perfect(*scene).defective, p_defective=0.95 + 0.04 * perfect(*scene).defective
        ),
        shift="<b>tinted",
    )
    run = build.run()
    metrics = evaluate(run)
    section = metrics["scenes"]
    assert section["base_scenes"] == 3 and section["pairs"]["plain"] == 6
    assert section["within_pairs"]["description"]["all"]["auc_within"]["value"] == 1.0
    assert section["within_pairs"]["description"]["all"]["auc"]["value"] < 1.0
    assert "Scenes, shifts: <b>tinted, none" in as_text(metrics)
    page = write_report(run, 0, metrics).read_text(encoding="utf-8")
    assert "Scenes, shifts: &lt;b&gt;tinted, none" in page and "<b>tinted" not in page


def test_the_page_shows_every_grid_and_escapes_names(build: Builder) -> None:
    add_scenes(build, 5, perfect)
    for i, text in enumerate(HOSTILE):
        defect = {"kind": text, "subject": text, "severity": text, "area": 0.3}
        meta = {"pair": text, "arm": "anomaly", "subjects": [text], "anomaly": [defect], "defects": [defect]}
        build.add(f"hostile {i}", YES, says(True, 0.6), prediction(None), prompt=text, meta=meta)
    run = build.run()
    metrics = evaluate(run)
    page = write_report(run, 0, metrics).read_text(encoding="utf-8")
    for text in (
        "By defect size",
        "By kind",
        "By subject",
        "By number of subjects",
        "By severity",
        "prompt only",
    ):
        assert text in page
    scripts = page.count("<script")
    assert scripts == 1 and "<img" not in page and "onerror=alert(4)&gt;" in page
    assert page.count("<svg") > 3 and 'class="curve description"' in page
    assert as_text(metrics).count("Justified, called flawless") == 1


def test_weighted_auc_is_the_usual_one_and_groups_are_drawn_whole() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(300) < 0.4, rng.integers(0, 20, 300) / 20
    group = np.arange(300) % 60
    re = Resamples(60)
    found = re.auc(group, labels, scores)
    assert found.value == pytest.approx(roc_auc_score(labels, scores))
    # A resample's AUC is that of its rows, each as often as its group was drawn.
    times = np.random.default_rng(0).integers(0, 60, 60)
    rows = np.concatenate([np.flatnonzero(group == g) for g in times])
    assert found.draws[0] == pytest.approx(roc_auc_score(labels[rows], scores[rows]))
    one = re.auc(np.zeros(300, dtype=int), labels, scores).entry()
    assert one["value"] is not None and one["low"] is None
    assert re.mean(np.zeros(3, dtype=int), np.array([0.0, 1.0, 1.0])).entry()["low"] is None


def test_a_mean_and_its_resamples_are_over_the_same_figures() -> None:
    re = Resamples(12)
    labels = np.array([True, False] * 10)
    group = np.repeat(np.arange(10), 2)
    good = re.auc(group, labels, labels.astype(float))
    # One base scene alone shows the other subject: no resample tells how much its figure varies.
    bad = re.auc(np.zeros(2, dtype=int), labels[:2], 1 - labels[:2].astype(float))
    found = re.mean_of([good, bad], 22).entry()
    assert (found["value"], found["low"], found["high"]) == (0.5, None, None)
    # Two base scenes do, but in few resamples both.
    rare = re.auc(np.array([10, 11]), labels[:2], 1 - labels[:2].astype(float))
    mean = re.mean_of([good, rare], 22)
    assert 0 < np.isfinite(mean.draws).sum() < len(mean.draws)
    assert set(mean.draws[np.isfinite(mean.draws)]) == {0.5}
