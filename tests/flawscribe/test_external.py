"""Descriptions made elsewhere."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flawscribe.errors import UserError
from flawscribe.external import import_descriptions
from flawscribe.records import Description, FailureKind, Sample
from flawscribe.runs import Run

JSONL = """
{"id": "a", "description": " Six fingers. ", "defective": true, "p_defective": 0.75, "other": [1]}
{"id": "b", "description": null}
{"id": "c", "description": "Odd.", "defective": false}
{"id": "d", "description": "x", "p_defective": 1.5}
{"id": "e", "description": "x"}
{"id": "e", "description": "y"}
{"id": "f", "description": ["x"]}
{"id": "unknown", "description": "x"}
"""


def make_run(folder: Path, names: str) -> Run:
    run = Run.create(folder / "run")
    run.set_samples("test", [Sample(id=name, image=f"{name}.png") for name in names])
    return run


def test_rows_become_descriptions_or_typed_failures(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abcdefg")
    (tmp_path / "d.jsonl").write_text(JSONL)
    told: list[str] = []
    counts = import_descriptions(run, tmp_path / "d.jsonl", tell=told.append)
    assert told == ["d.jsonl: 1 of 7 rows fit no sample of the run, such as 'unknown'"]
    assert (counts.ok, counts.failed) == (2, 5)
    rows = run.latest("describe")
    assert Description.model_validate(rows["a"].record) == Description(
        defective=True, p_defective=0.75, text="Six fingers."
    )
    assert rows["b"].record and rows["b"].record["defective"] is False
    kinds = {name: row.failure.kind for name, row in rows.items() if row.failure}
    invalid = FailureKind.INVALID_ANSWER
    assert kinds == {
        "c": invalid,
        "d": invalid,
        "e": FailureKind.REPEATED_ID,
        "f": invalid,
        "g": FailureKind.MISSING_ANSWER,
    }
    assert run.info()["stages"]["describe"]["rows_without_sample"] == 1


def test_csv_and_parquet_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,description,defective,p_defective\na,Six.,True,0.5\nb,,,\n")
    table = {
        "id": ["a", "b"],
        "description": ["Six.", None],
        "defective": [True, None],
        "p_defective": [0.5, None],
    }
    pq.write_table(pa.table(table), tmp_path / "d.parquet")
    found = []
    for kind in ("csv", "parquet"):
        folder = tmp_path / kind
        folder.mkdir()
        run = make_run(folder, "ab")
        assert import_descriptions(run, tmp_path / f"d.{kind}").ok == 2
        found.append({name: row.record for name, row in run.latest("describe").items()})
    assert found[0] == found[1]


def test_another_file_is_refused_without_redo(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ab")
    (tmp_path / "d.jsonl").write_text(JSONL)
    import_descriptions(run, tmp_path / "d.jsonl")
    (tmp_path / "d.jsonl").write_text('{"id": "a", "description": null}\n')
    with pytest.raises(UserError, match="digest was"):
        import_descriptions(run, tmp_path / "d.jsonl")
    assert import_descriptions(run, tmp_path / "d.jsonl", redo=True).ok == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.jsonl", "{", "d.jsonl:1 is not JSON"),
        ("d.jsonl", '{"id": "a"}', "no column 'description'"),
        ("d.csv", "name,description\na,b\n", "no column 'id'"),
        ("d.csv", "id,description\n,b\n", "row 1 has no id"),
        ("d.parquet", "PAR1", "cannot read"),
        ("d.txt", "", ".jsonl, .csv or .parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says):
        import_descriptions(make_run(tmp_path, "a"), tmp_path / name)
    with pytest.raises(UserError, match="cannot read"):
        import_descriptions(make_run(tmp_path, "a"), tmp_path / "none.jsonl")


def test_what_is_told_of_a_row_is_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(
        '{"id": "a", "description": "half \\ud800"}\n{"id": "b", "description": false}\n'
        '{"id": "c", "description": "x", "p_defective": true}\n'
    )
    run = make_run(tmp_path, "abc")
    import_descriptions(run, tmp_path / "d.jsonl")
    told = {name: row.failure.message for name, row in run.latest("describe").items() if row.failure}
    assert "surrogate" in told["a"] and "bool" in told["b"] and "p_defective is True" in told["c"]


def test_a_row_that_an_export_calls_failed_is_no_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "a", "description": null, "status": "failed", "failure_message": "cut off"}\n')
    import_descriptions(run, file)
    failure = run.latest("describe")["a"].failure
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.MISSING_ANSWER, "cut off")


def test_a_comma_too_many_or_too_few_is_no_other_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path, "abc")
    (tmp_path / "d.csv").write_text(
        'id,description\na,a hand, with six fingers\nb\nc,"a hand, with six fingers"\n'
    )
    import_descriptions(run, tmp_path / "d.csv")
    rows = run.latest("describe")
    assert [rows[n].failure is not None for n in "abc"] == [True, True, False]
    (tmp_path / "open.csv").write_text('id,description\na,"never closed\nb,x\n')
    with pytest.raises(UserError, match="cannot read"):
        import_descriptions(run, tmp_path / "open.csv", redo=True)
