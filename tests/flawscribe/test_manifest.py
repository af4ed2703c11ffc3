"""Manifests as files: JSONL, CSV and Parquet, row by row."""

import json
import math
import os
import struct
import tracemalloc
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flawscribe.errors import UserError
from flawscribe.manifest import read_manifest, write_manifest
from flawscribe.manifest_tables import MAX_LINE
from flawscribe.records import Failure, FailureKind, Golden, Sample

FULL = {
    "id": "cat",
    "image": "images/cat.png",
    "prompt": "a cat, asleep",
    "generator": "SDXL",
    "defective": True,
    "descriptions": ["The cat has five legs.", "Five legs."],
    "description": "Five legs in all.",
    "mask": "masks/cat.png",
    "quality": 2.5,
    "category": "animals",
    "seed": 7,
}


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def samples(path: Path) -> list[Sample]:
    entries = list(read_manifest(path))
    assert all(isinstance(e, Sample) for e in entries), entries
    return [e for e in entries if isinstance(e, Sample)]


def bad(path: Path) -> dict[str, Failure]:
    return {e[0]: e[1] for e in read_manifest(path) if not isinstance(e, Sample)}


def full(folder: Path) -> Sample:
    golden = Golden(
        defective=True,
        descriptions=("The cat has five legs.", "Five legs."),
        description="Five legs in all.",
        mask=str(folder / "masks/cat.png"),
        quality=2.5,
        category="animals",
    )
    image = str(folder / "images/cat.png")
    return Sample(
        id="cat", image=image, prompt="a cat, asleep", generator="SDXL", golden=golden, meta={"seed": 7}
    )


def test_a_jsonl_row_holds_everything_and_paths_start_at_its_folder(tmp_path: Path) -> None:
    assert samples(write(tmp_path / "m.jsonl", FULL)) == [full(tmp_path)]


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "id,image,prompt,generator,defective,descriptions,description,mask,quality,category,seed\n"
        'cat,images/cat.png,"a cat, asleep",SDXL,yes,"[""The cat has five legs."", ""Five legs.""]",'
        "Five legs in all.,masks/cat.png,2.5,animals,7\n"
    )
    pq.write_table(pa.Table.from_pylist([FULL]), tmp_path / "m.parquet")
    assert samples(tmp_path / "m.parquet") == [full(tmp_path)]
    from_csv = samples(tmp_path / "m.csv")[0]
    assert from_csv.model_copy(update={"meta": {"seed": 7}}) == full(tmp_path)
    assert from_csv.meta == {"seed": "7"}


def test_a_manifest_written_is_read_back_from_wherever_its_folder_moves(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    plain = Sample(id="dog ü", image=str(tmp_path / "dog.png"))
    far = Sample(id="far", image="https://example.org/a.png", golden=Golden(defective=False))
    write_manifest(tmp_path / "a" / "m.jsonl", [full(tmp_path / "a"), plain, far])
    assert samples(tmp_path / "a" / "m.jsonl") == [full(tmp_path / "a"), plain, far]
    (tmp_path / "a").rename(tmp_path / "b")
    assert samples(tmp_path / "b" / "m.jsonl")[0] == full(tmp_path / "b")
    with pytest.raises(ValueError, match="prompt"):
        write_manifest(tmp_path / "c.jsonl", [plain.model_copy(update={"meta": {"prompt": "x"}})])


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv"])
def test_windows_line_ends_and_a_byte_order_mark_are_nothing_special(tmp_path: Path, name: str) -> None:
    text = (
        '{"id": "a", "image": "a.png"}\r\n\r\n{"id": "b", "image": "b.png"}\r\n'
        if name == "m.jsonl"
        else "id,image\r\na,a.png\r\n\r\nb,b.png\r\n"
    )
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [s.id for s in samples(tmp_path / name)] == ["a", "b"]


def test_golden_is_none_only_where_no_golden_field_is_given(tmp_path: Path) -> None:
    base = {"image": "x.png"}
    path = write(
        tmp_path / "m.jsonl",
        {"id": "none", **base, "defective": None, "descriptions": None},
        {"id": "texts", **base, "descriptions": "one text"},
        {"id": "mask", **base, "mask": "m.png"},
        {"id": "clean", **base, "defective": False, "descriptions": []},
    )
    golden = {s.id: s.golden for s in samples(path)}
    assert golden["none"] is None
    assert golden["texts"] == Golden(defective=True, descriptions=("one text",))
    assert golden["mask"] is not None
    assert golden["mask"].defective
    assert golden["clean"] == Golden(defective=False)


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "YES"])
def test_csv_booleans(tmp_path: Path, word: str) -> None:
    (tmp_path / "m.csv").write_text(f"id;image;defective\na;a.png;{word}\nb;b.png;no\nc;c.png;\n")
    golden = [s.golden for s in samples(tmp_path / "m.csv")]
    assert golden == [Golden(defective=True), Golden(defective=False), None]


def test_csv_descriptions_may_be_plain_text_even_one_that_starts_like_a_list(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        'id,image,descriptions\na,a.png,"Three arms, two heads"\nb,b.png,[sic] bent\n'
    )
    texts = [s.golden.descriptions for s in samples(tmp_path / "m.csv") if s.golden]
    assert texts == [("Three arms, two heads",), ("[sic] bent",)]


def test_absolute_paths_parent_paths_and_urls_are_taken_as_meant(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = write(
        tmp_path / "sub" / "m.jsonl",
        {"id": "a", "image": "/data/a.png"},
        {"id": "b", "image": "../pictures/b.png"},
        {"id": "c", "image": "https://example.org/c.png"},
        {"id": "d", "image": "//[x/d.png"},
        {"id": "e", "image": "http://["},
        {"id": "f", "image": "data/f.png"},
    )
    images = [s.image for s in samples(path)]
    assert images[:3] == ["/data/a.png", str(tmp_path / "pictures/b.png"), "https://example.org/c.png"]
    assert images[3:] == ["//[x/d.png", "http://[", str(tmp_path / "sub/data/f.png")]


BAD = {
    "no id": {"image": "a.png"},
    "empty id": {"id": "", "image": "a.png"},
    "id of a wrong type": {"id": ["a"], "image": "a.png"},
    "boolean id": {"id": True, "image": "a.png"},
    "endless id": {"id": "x" * 10_000, "image": "a.png"},
    "no image": {"id": "a"},
    "image of a wrong type": {"id": "a", "image": 3},
    "NUL in the path": {"id": "a", "image": "a\0.png"},
    "NUL in the id": {"id": "a\0b", "image": "a.png"},
    "lone surrogate": '{"id": "a", "image": "a.png", "prompt": "\\ud800"}',
    "lone surrogate in meta": '{"id": "a", "image": "a.png", "x": {"y": ["\\udfff"]}}',
    "prompt of a wrong type": {"id": "a", "image": "a.png", "prompt": ["x"]},
    "defective of a wrong type": {"id": "a", "image": "a.png", "defective": "maybe"},
    "defective 2": {"id": "a", "image": "a.png", "defective": 2},
    "descriptions of a wrong type": {"id": "a", "image": "a.png", "descriptions": [1]},
    "quality out of range": {"id": "a", "image": "a.png", "defective": True, "quality": 6},
    "quality NaN": '{"id": "a", "image": "a.png", "defective": true, "quality": NaN}',
    "quality of a wrong type": {"id": "a", "image": "a.png", "defective": True, "quality": True},
    "quality without defective": {"id": "a", "image": "a.png", "quality": 2},
    "unknown category": {"id": "a", "image": "a.png", "defective": True, "category": "cars"},
    "nested golden": {"id": "a", "image": "a.png", "golden": {"defective": True}},
    "infinity in meta": '{"id": "a", "image": "a.png", "x": 1e999}',
    "nested too deep": '{"id": "a", "image": "a.png", "x": ' + "[" * 50 + "]" * 50 + "}",
    "nested beyond the parser": '{"x": ' + "[" * 100_000 + "}",
    "number beyond the parser": '{"x": ' + "9" * 5000 + "}",
    "a list": "[1]",
    "no JSON": "{'id': 'a'}",
    "torn": '{"id": "a", "ima',
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_a_bad_row_is_a_failure_with_its_place_and_the_others_stand(
    tmp_path: Path, row: dict[str, Any] | str
) -> None:
    path = write(tmp_path / "m.jsonl", {"id": "ok", "image": "a.png"}, row, {"id": "ok2", "image": "a.png"})
    entries = list(read_manifest(path))
    assert [e.id for e in entries if isinstance(e, Sample)] == ["ok", "ok2"]
    failure = bad(path)["m.jsonl:2"]
    assert failure.kind is FailureKind.BAD_ROW
    assert failure.message.startswith("m.jsonl:2: ")
    assert len(failure.message) < 300
    assert "\n" not in failure.message


def test_bytes_that_are_no_text_and_a_line_without_end_are_bad_rows(tmp_path: Path) -> None:
    good = b'{"id": "%d", "image": "a.png"}\n'
    long = b'{"id": "' + b"x" * (MAX_LINE + 10) + b'"}\n'
    (tmp_path / "m.jsonl").write_bytes(good % 1 + b'{"id": "\xff", "image": "a"}\n' + long + good % 4)
    assert list(bad(tmp_path / "m.jsonl")) == ["m.jsonl:2", "m.jsonl:3"]
    assert [e.id for e in read_manifest(tmp_path / "m.jsonl") if isinstance(e, Sample)] == ["1", "4"]


def test_bad_csv_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(
        b'id,image,prompt\nok,a.png,"two\nlines"\nb,b.png,a cat, asleep\n\xff,c.png,\nd,"d\0.png",\nlast,l.png\n'
    )
    failures = bad(tmp_path / "m.csv")
    assert list(failures) == ["m.csv:4", "m.csv:5", "m.csv:6"]
    assert "comma" in failures["m.csv:4"].message
    assert [e.id for e in read_manifest(tmp_path / "m.csv") if isinstance(e, Sample)] == ["ok", "last"]


@pytest.mark.parametrize("later", ["", 'x,x.png,"two, words"\n', 'x,x.png,"two\nlines"\n'])
def test_a_quote_that_is_not_closed_costs_one_row(tmp_path: Path, later: str) -> None:
    rows = "".join(f"r{i},{i}.png,\n" for i in range(50))
    (tmp_path / "m.csv").write_text(f'id,image,prompt\nok,a.png,\nb,b.png,"a cat\n{rows}{later}')
    failures = bad(tmp_path / "m.csv")
    assert list(failures) == ["m.csv:3"]
    assert failures["m.csv:3"].kind is FailureKind.BAD_ROW
    assert failures["m.csv:3"].message == "m.csv:3: a quote is not closed"
    read = [e.id for e in read_manifest(tmp_path / "m.csv") if isinstance(e, Sample)]
    assert read == ["ok", *(f"r{i}" for i in range(50)), *(["x"] if later else [])]


def test_quotes_that_are_never_closed_take_no_endless_time_and_name_what_they_cost(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,image\n" + '",x","\n' * 20_000)
    failures = list(bad(tmp_path / "m.csv").items())
    place, failure = failures[-1]
    assert place == f"m.csv:{len(failures) + 1}"
    assert failure.message == f"{place}: a quote is not closed; nothing is read up to line 20001"


def test_a_damaged_saved_dataset_is_one_line(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "image": ["a.png", "b.png"]})
    with pa.ipc.new_stream(tmp_path / "data.arrow", table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    assert [s.id for s in samples(tmp_path)] == ["a", "b"]
    content = (tmp_path / "data.arrow").read_bytes()
    offsets = struct.pack("<3i", 0, 5, 10)
    assert offsets in content
    (tmp_path / "data.arrow").write_bytes(content.replace(offsets, struct.pack("<3i", 0, 5, 2**30)))
    with pytest.raises(UserError, match="not a readable Arrow file") as caught:
        list(read_manifest(tmp_path))
    assert "\n" not in str(caught.value)


def test_deep_state_and_column_names_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    schema = pa.schema({"id": pa.string(), "image": pa.string(), "xyzzy": pa.int64()})
    pq.write_table(schema.empty_table(), tmp_path / "m.parquet", store_schema=False)
    content = (tmp_path / "m.parquet").read_bytes().replace(b"xyzzy", b"xy\xffzy")
    (tmp_path / "m.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.parquet is not a readable Parquet file"):
        list(read_manifest(tmp_path / "m.parquet"))
    (tmp_path / "state.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"cannot read .*state\.json"):
        list(read_manifest(tmp_path))


def test_bad_parquet_rows(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", None, "c"], "image": ["a.png"] * 3, "x": [None, None, "\0"]})
    pq.write_table(table, tmp_path / "m.parquet")
    assert list(bad(tmp_path / "m.parquet")) == ["m.parquet:2", "m.parquet:3"]


def test_parquet_columns_that_json_does_not_have(tmp_path: Path) -> None:
    rows = {
        "id": ["a", "b"],
        "image": ["a.png", "b.png"],
        "defective": [True, False],
        "quality": [2.5, math.nan],
        "score": [math.nan, 0.5],
        "price": [Decimal("1.25"), None],
        "taken": [datetime(2024, 1, 2, 3, 4), None],
        "raw": [b"\0", None],
        "thumbnail": [{"bytes": b"\x89", "path": "t.png"}, None],
    }
    pq.write_table(pa.table(rows), tmp_path / "m.parquet")
    first, second = samples(tmp_path / "m.parquet")
    assert first.meta == {"price": 1.25, "taken": "2024-01-02T03:04:00", "thumbnail": {"path": "t.png"}}
    assert second.meta == {"score": 0.5}
    assert [s.golden and s.golden.quality for s in (first, second)] == [2.5, None]


def test_a_repeated_id_is_a_failure_and_no_row_gets_lost_behind_it(tmp_path: Path) -> None:
    row = {"id": "a", "image": "a.png"}
    path = write(tmp_path / "m.jsonl", row, row, {"id": "m.jsonl:4", "image": "a.png"}, row)
    entries = list(read_manifest(path))
    ids = [e.id if isinstance(e, Sample) else e[0] for e in entries]
    assert len(set(ids)) == 4
    failure = bad(path)["m.jsonl:2"]
    assert failure.kind is FailureKind.REPEATED_ID
    assert "'a'" in failure.message


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.parquet", b"PAR1 torn off", "Parquet"),
        ("m.parquet", b"", "Parquet"),
        ("m.csv", b"name,path\na,b\n", "header"),
        ("m.csv", b"id,image,image\na,b,c\n", "header"),
        ("m.jsonl", '{"id": "a"}'.encode("utf-16"), "UTF-16"),
        ("m.json", b"[]", "not a manifest"),
        ("m.xlsx", b"", "not a manifest"),
    ],
)
def test_an_input_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as caught:
        list(read_manifest(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_truncated_parquet_file_is_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"] * 1000, "image": ["b"] * 1000}), tmp_path / "m.parquet")
    content = (tmp_path / "m.parquet").read_bytes()
    for at in (4, len(content) // 2, len(content) - 1):
        (tmp_path / "m.parquet").write_bytes(content[:at])
        with pytest.raises(UserError, match="Parquet"):
            list(read_manifest(tmp_path / "m.parquet"))


def test_a_missing_manifest_and_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_manifest(tmp_path / "none.jsonl")
    os.mkfifo(tmp_path / "m.jsonl")
    with pytest.raises(UserError, match="not a file"):
        read_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv", "m.parquet"])
def test_a_long_manifest_is_never_held(tmp_path: Path, name: str) -> None:
    n, prompt = 4_000, "a cat " * 1500
    if name == "m.parquet":
        ids = [str(i) for i in range(n)]
        table = pa.table({"id": ids, "image": ids, "prompt": pa.array([prompt] * n).dictionary_encode()})
        pq.write_table(table, tmp_path / name, row_group_size=100)
    else:
        row = '{{"id": "{0}", "image": "{0}", "prompt": "{1}"}}\n' if name == "m.jsonl" else "{0},{0},{1}\n"
        with (tmp_path / name).open("w") as f:
            f.write("id,image,prompt\n" if name == "m.csv" else "")
            f.writelines(row.format(i, prompt) for i in range(n))
    tracemalloc.start()
    try:
        assert sum(isinstance(e, Sample) for e in read_manifest(tmp_path / name)) == n
        assert tracemalloc.get_traced_memory()[1] < 8_000_000  # the prompts alone are 36 MB
    finally:
        tracemalloc.stop()
