"""Scenes whose rows are strange, broken or gone: each is counted and ends nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from bases import (
    A,
    B,
    add_scenes,
    figure,
    head,
    perfect,
)
from handmade import NO, YES, Builder, failure, prediction, says

from flawscribe.errors import UserError
from flawscribe.records import Description, Failure, Golden, MaskPrediction, Sample
from report.benchmark import benchmark
from report.benchmark_rows import SceneRow, scene_row
from report.benchmark_tables import scenes_table, title
from report.evaluate import evaluate
from report.html import write_report
from report.join import Joined, join
from report.tables import as_text


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


def test_golden_masks_that_are_gone_cost_the_masks_figures_alone(build: Builder) -> None:
    add_scenes(build, 2, perfect)
    for path in build.folder.glob("pictures/*.mask.png"):
        path.unlink()
    section = benchmark(build.run())
    assert figure(section["masks"]["giou_raw"]) == (None, 0, 6)
    assert section["named"]["recall"]["value"] == 1.0


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


def test_no_scenes_no_section(small_metrics: dict[str, Any], small_run: Any) -> None:
    assert "scenes" not in small_metrics and "within_pairs" not in small_metrics["detection"]
    assert "Scenes" not in as_text(small_metrics)
    assert 'id="scenes"' not in write_report(small_run, 0, small_metrics).read_text(encoding="utf-8")
    assert set(benchmark(small_run)) == {"absent"}


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
