"""The section `scenes`: describers whose figures are known by construction."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from handmade import HOSTILE, NO, SIZE, YES, Builder, box, failure, prediction, says
from PIL import Image
from sklearn.metrics import roc_auc_score

from flawscribe.errors import UserError
from flawscribe.records import Description, Failure, Golden, MaskPrediction, Sample
from report.benchmark import benchmark
from report.benchmark_rows import SceneRow, scene_row
from report.benchmark_tables import scenes_table, title
from report.evaluate import evaluate
from report.html import write_report
from report.join import Joined, join
from report.resamples import Resamples
from report.tables import as_text
from scenes.subjects import KINDS

A, B = "no_hands", "half_dial"
PICTURES = {"clean": "", "anomaly": A, "AA": A, "AB": A, "BA": B, "BB": B}
PROMPTS = {"clean": "", "anomaly": "", "AA": A, "AB": B, "BA": A, "BB": B}
COLOURS = {"": (90, 90, 90), A: (200, 40, 40), B: (40, 40, 200)}
AREAS = {A: 0.015, B: 0.06}
MASKS = {A: box(0, 0, 10, 10), B: box(20, 0, 40, 10)}
WORDS = {"": "a clock on a wall", A: "a clock that lost its hands", B: "half a clock"}
TEXTS = {kind: KINDS[kind].texts[0].format(where="in the centre") for kind in (A, B)}

Describer = Callable[[str, str, int], Description | Failure | None]
Marker = Callable[[str, int], MaskPrediction | Failure | None]


def perfect(picture: str, prompt: str, base: int) -> Description:
    wrong = picture not in ("", prompt)
    return Description(
        defective=wrong, p_defective=0.9 if wrong else 0.1, text=TEXTS[picture] if wrong else ""
    )


def blind(picture: str, prompt: str, base: int) -> Description:
    """Knows that prompts that ask for something odd come with odd pictures, and no more."""
    p = {"": 0.2, A: 0.7, B: 0.8}[prompt]
    return Description(defective=p > 0.5, p_defective=p, text=TEXTS[A] if p > 0.5 else "")


def deaf(picture: str, prompt: str, base: int) -> Description:
    """Sees every anomaly and never reads the prompt."""
    return Description(
        defective=bool(picture), p_defective=0.9 if picture else 0.1, text=TEXTS.get(picture, "")
    )


def head(picture: str, base: int) -> MaskPrediction:
    return prediction(MASKS[picture], 0.95) if picture else prediction(None, 0.05)


def add_scenes(
    build: Builder, bases: int, describe: Describer, mark: Marker = head, start: int = 0, **meta: Any
) -> None:
    """Six rows a base scene, of one clock or (every third) of a clock and a mug."""
    for base in range(start, start + bases):
        for arm, picture in PICTURES.items():
            prompt = PROMPTS[arm]
            wrong = picture not in ("", prompt)
            image = build.folder / f"{picture or 'clean'}.png"
            if not image.exists():
                Image.new("RGB", SIZE, COLOURS[picture]).save(image)
            anomaly = {"kind": picture, "subject": "clock", "severity": "severe", "area": AREAS.get(picture)}
            anomalies = [anomaly] if picture else []
            build.add(
                f"{meta.get('shift')}-{base}-{arm}",
                Golden(defective=wrong),
                describe(picture, prompt, base),
                mark(picture, base),
                gold_mask=MASKS[picture] if wrong else None,
                image=str(image),
                prompt=WORDS[prompt],
                meta={
                    "subjects": ["clock", "mug"] if base % 3 == 2 else ["clock"],
                    "pair": f"5-{base}",
                    "arm": arm,
                    "anomaly": anomalies,
                    "defects": anomalies if wrong else [],
                    "shift": None,
                    "size": 40,
                    **meta,
                },
            )


def figure(entry: dict[str, Any]) -> tuple[float | None, int, int]:
    return entry["value"], entry["n"], entry["failed"]


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


def test_what_failed_is_counted_and_enters_nothing(build: Builder) -> None:
    def describe(picture: str, prompt: str, base: int) -> Description | Failure:
        lost = (base, picture, prompt) in ((0, B, A), (1, "", ""))
        return failure("describe") if lost else perfect(picture, prompt, base)

    def mark(picture: str, base: int) -> MaskPrediction | Failure:
        return failure("segment") if base == 2 else head(picture, base)

    add_scenes(build, 6, describe, mark)
    (build.folder / "gone").mkdir()
    build.entries[0] = build.entries[0].model_copy(update={"image": str(build.folder / "gone")})  # type: ignore[union-attr]
    section = benchmark(build.run())
    described = section["within_pairs"]["description"]
    # BA of base 0 takes two pairs with it, but its partners stand in other pairs.
    assert figure(described["justified"]["auc_within"]) == (1.0, 22, 2)
    assert figure(described["justified"]["auc"]) == (1.0, 23, 1)
    # The clean row of base 1 takes its partner with it.
    assert figure(described["plain"]["auc_within"]) == (1.0, 5, 1)
    assert figure(described["plain"]["auc"]) == (1.0, 10, 2)
    assert figure(section["within_pairs"]["mask_head"]["plain"]["auc_within"]) == (1.0, 5, 1)
    # The baselines answer for the rows that were described.
    assert figure(section["within_pairs"]["prompt_only"]["plain"]["auc_within"]) == (0.5, 5, 0)
    assert figure(section["within_pairs"]["picture_only"]["plain"]["auc_within"]) == (1.0, 4, 1)
    assert section["baselines"] == {"prompts": 34, "pictures": 34, "of": 34, "failed": 1}
    assert figure(section["justification"]["unjustified_called_defective"]) == (1.0, 11, 1)
    assert figure(section["justification"]["whole_square"]) == (1.0, 5, 1)
    assert figure(section["named"]["recall"]) == (1.0, 17, 1)
    assert figure(section["named"]["precision"]) == (1.0, 17, 2)
    assert figure(section["masks"]["giou_raw"]) == (1.0, 15, 3)
    assert figure(section["masks"]["giou_gated"]) == (1.0, 14, 4)


def test_no_scenes_no_section(small_metrics: dict[str, Any], small_run: Any) -> None:
    assert "scenes" not in small_metrics and "within_pairs" not in small_metrics["detection"]
    assert "Scenes" not in as_text(small_metrics)
    assert 'id="scenes"' not in write_report(small_run, 0, small_metrics).read_text(encoding="utf-8")
    assert set(benchmark(small_run)) == {"absent"}


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


def test_strange_columns_cannot_be_used_and_crash_nothing(build: Builder) -> None:
    strange: list[dict[str, Any]] = [
        {"pair": ["x"], "arm": "clean"},
        {"pair": 1.0, "arm": "clean"},
        {"arm": "AA"},
        {"pair": 1, "arm": 5},
        {"pair": 1, "arm": "mismatch"},
        {"pair": 1, "arm": "anomaly"},  # on a flawless row
    ]
    for i, meta in enumerate(strange):
        build.add(f"strange {i}", NO, says(False, 0.1), prediction(None), meta=meta)
    build.add("no golden", None, says(False, 0.1), prediction(None), meta={"pair": 1, "arm": "clean"})
    build.add("other", NO, says(False, 0.1), prediction(None), meta={"arm": "left", "source": "elsewhere"})
    metrics = evaluate(build.run())
    assert metrics["scenes"]["absent"].startswith("7 rows look like scenes and cannot be used")
    assert "7 rows look like scenes" in as_text(metrics)
    assert "7 rows look like scenes" in write_report(build.run(), 0, metrics).read_text(encoding="utf-8")
    odd = {"anomaly": 7, "defects": [{"kind": "x", "area": "wide"}], "subjects": "clock"}
    for arm, golden, p in (("clean", NO, 0.2), ("anomaly", YES, 0.6)):
        build.add(arm, golden, says(golden.defective, p), meta={"pair": 1, "arm": arm, **odd})
    section = benchmark(build.run())
    assert (section["other_samples"], section["unusable_rows"]) == (1, 7)
    notes = scenes_table(section).notes
    assert any(note.startswith("1 samples of the run are no scenes") for note in notes)
    assert any(note.startswith("7 rows look like scenes but do not count") for note in notes)
    assert figure(section["within_pairs"]["description"]["plain"]["auc_within"]) == (1.0, 1, 0)
    assert section["by_kind"]["x"]["n"] == 1


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


def test_golden_masks_that_are_gone_cost_the_masks_figures_alone(build: Builder) -> None:
    add_scenes(build, 2, perfect)
    for path in build.folder.glob("pictures/*.mask.png"):
        path.unlink()
    section = benchmark(build.run())
    assert figure(section["masks"]["giou_raw"]) == (None, 0, 6)
    assert section["named"]["recall"]["value"] == 1.0


def as_cells(meta: dict[str, Any]) -> dict[str, Any]:
    """What a CSV manifest has of it: lists as JSON texts."""
    return {k: json.dumps(v) if isinstance(v, list) else v for k, v in meta.items()}


def change_meta(build: Builder, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    build.entries = [
        entry.model_copy(update={"meta": change(entry.meta)}) if isinstance(entry, Sample) else entry
        for entry in build.entries
    ]


def read_row(golden: Golden = YES, **meta: Any) -> SceneRow:
    sample = Sample(id="x", image="x.png", golden=golden, meta={"pair": 1, "arm": "anomaly", **meta})
    row = scene_row(Joined("x", sample))
    assert row is not None
    return row


def test_a_csv_manifests_lists_are_read_from_their_cells(build: Builder) -> None:
    add_scenes(build, 3, perfect)
    change_meta(build, as_cells)
    section = benchmark(build.run())
    assert figure(section["named"]["recall"]) == figure(section["named"]["precision"]) == (1.0, 9, 0)
    assert set(section["by_kind"]) == {A, B} and set(section["by_number_of_subjects"]) == {
        "1",
        "2",
        "several",
    }
    assert set(section["against_clean"]["by_subject"]) == {"clock", "mug"}
    assert section["rows_without_defects"] == section["defects_without_area"] == 0


@pytest.mark.parametrize(
    "defects", [None, "abc", "[" * 100_000, {"kind": A}, [], [3], [{"subject": "clock"}], [{"kind": A}, {}]]
)
def test_defects_that_cannot_be_read_are_not_known(defects: Any) -> None:
    row = read_row(defects=defects)
    assert row.defects is None and row.largest is None and row.kinds == frozenset()
    flawless = read_row(golden=NO, arm="clean", defects=defects)
    assert flawless.defects == ()


def test_rows_that_do_not_tell_their_defects_fail_where_names_are_compared(build: Builder) -> None:
    add_scenes(build, 2, perfect)
    change_meta(build, lambda meta: {**meta, "defects": None} if meta["arm"] == "AB" else meta)
    section = benchmark(build.run())
    # 4 of 6 defective rows are left; the two others fail, and what they name is neither right nor wrong.
    assert figure(section["named"]["recall"]) == figure(section["named"]["precision"]) == (1.0, 4, 2)
    assert figure(section["by_kind"][A]["named_precision"]) == (1.0, 2, 2)
    assert section["rows_without_defects"] == 2
    assert any(note.startswith("2 defective rows do not tell") for note in scenes_table(section).notes)
    change_meta(build, lambda meta: {**meta, "defects": "none"})
    recall = benchmark(build.run())["named"]["recall"]
    assert figure(recall) == (None, 0, 6) and recall["note"] == "every such row failed"


@pytest.mark.parametrize(
    "area", [float("nan"), float("inf"), -0.1, 1.5, pytest.param(10**400, id="huge"), "0.1", True, None]
)
def test_an_area_that_is_no_share_is_not_known(area: Any) -> None:
    row = read_row(defects=[{"kind": A, "area": 0.1}, {"kind": B, "area": area}])
    assert row.defects is not None and [d.area for d in row.defects] == [0.1, None]
    assert row.largest is None
    assert read_row(defects=[{"kind": A, "area": 0}, {"kind": B, "area": 1}]).largest == 1


def test_defects_of_unknown_area_are_in_no_group_by_size(build: Builder) -> None:
    add_scenes(build, 2, perfect)
    change_meta(build, lambda meta: {**meta, "defects": [{**d, "area": 10**400} for d in meta["defects"]]})
    section = benchmark(build.run())
    assert {figures["n"] for figures in section["by_size"].values()} == {0}
    assert {figures["named_recall"]["n"] for figures in section["by_size"].values()} == {0}
    assert section["defects_without_area"] == 6
    assert any(note.startswith("6 defects tell no share") for note in scenes_table(section).notes)


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


def test_manifest_rows_that_could_not_be_read_are_counted(build: Builder) -> None:
    add_scenes(build, 1, perfect)
    build.bad_row("bad")
    metrics = evaluate(build.run())
    section = metrics["scenes"]
    assert (section["n"], section["unreadable_rows"], section["other_samples"]) == (6, 1, 0)
    assert "1 rows of the manifest could not be read" in as_text(metrics)
    assert any(
        note.startswith("1 rows of the manifest could not be read") for note in scenes_table(section).notes
    )


def test_a_damaged_sample_is_one_line(build: Builder) -> None:
    add_scenes(build, 1, perfect)
    run = build.run()
    path = run.path / "samples" / "0001.jsonl"
    path.write_text(path.read_text().replace('"image"', '"imagg"', 1))
    with pytest.raises(UserError, match=r"samples is damaged .*: give its manifest again") as caught:
        list(join(run))
    assert "\n" not in str(caught.value)


def test_a_shift_cannot_steer_the_terminal_nor_forge_a_line() -> None:
    hostile = "a\x1b[2J\u202eb\n  AUC   1.000\u2028\ud800\x9b"
    shown = title({"shift": [hostile]})
    assert shown == "Scenes, shift: a[U+001B][2J[U+202E]b[U+000A]  AUC   1.000[U+2028][U+D800][…"
    many = title({"shift": ["\x1b" * 60] * 500})
    assert len(many) < 700 and many.endswith("and 490 more")


def test_what_failed_everywhere_says_so(build: Builder) -> None:
    add_scenes(build, 2, lambda *scene: failure("describe"), lambda *scene: failure("segment"))
    section = benchmark(build.run())
    lost = "every such row failed"
    for scorer in ("description", "mask_head"):
        for part in ("plain", "all"):
            found = section["within_pairs"][scorer][part]
            assert found["auc"]["note"] == found["auc_within"]["note"] == lost
            assert found["auc"]["failed"] > 0
    assert section["named"]["precision"]["note"] == section["named"]["recall"]["note"] == lost
    against = section["against_clean"]["all"]["description"]
    assert (against["failed"], against["note"]) == (8, "all defective or all clean rows failed")
