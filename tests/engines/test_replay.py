"""Recorded answers: found in any order, read no further than needed."""

import json
from pathlib import Path

import pytest

from engines.base import Answer, Fault
from engines.replay import Recorded
from flawscribe.errors import UserError


def recorded(folder: Path, *lines: object) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def text(id: str, says: str | None = None) -> dict[str, str]:
    return {"id": id, "text": says or f"says {id}"}


@pytest.mark.parametrize("checked", [0, 2, 1000])
def test_answers_are_found_in_any_order_and_again(tmp_path: Path, checked: int) -> None:
    names = [f"{i}-ü" for i in range(9)]
    answers = Recorded(recorded(tmp_path, *map(text, names), ""), checked)
    for name in (*names[5:], "none", *reversed(names), "none"):
        found = answers.find(name)
        assert found == (None if name == "none" else Answer(f"says {name}"))


def test_of_an_ids_lines_the_first_counts(tmp_path: Path) -> None:
    answers = Recorded(recorded(tmp_path, text("a", "one"), text("b"), text("a", "two")), checked=0)
    assert answers.find("b") == Answer("says b")
    assert answers.find("none") is None
    assert answers.find("a") == Answer("one")


def test_a_failure_is_replayed(tmp_path: Path) -> None:
    found = Recorded(recorded(tmp_path, {"id": "a", "fault": "timeout"})).find("a")
    assert isinstance(found, Fault) and found.kind.value == "timeout"


def test_a_bad_line_is_told_with_its_number_when_it_is_come_to(tmp_path: Path) -> None:
    path = recorded(tmp_path, text("a"), text("b"), '{"id": 3}', text("c"))
    with pytest.raises(UserError, match=r"answers\.jsonl:3 needs an id"):
        Recorded(path)
    answers = Recorded(path, checked=1)
    assert answers.find("b") == Answer("says b")
    with pytest.raises(UserError, match=r"answers\.jsonl:3 needs an id"):
        answers.find("c")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        Recorded(tmp_path / "none.jsonl")
