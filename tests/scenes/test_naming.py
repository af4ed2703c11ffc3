"""Naming: which defect kinds a text names, on sentences written by hand."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from scenes.naming import MAX_CHARACTERS, named, words
from scenes.subjects import KINDS, SUBJECTS

Row = dict[str, Any]
_SENTENCES: dict[str, list[Row]] = yaml.safe_load(
    Path(__file__).with_name("naming_sentences.yaml").read_text(encoding="utf-8")
)
_ALL = [row for part in _SENTENCES.values() for row in part]


def test_every_kind_has_rules_of_its_subject_and_sentences_in_both_halves() -> None:
    rules = {kind: row["subject"] for kind, row in words.DATA["kinds"].items()}
    assert rules == {kind.name: name for name, subject in SUBJECTS.items() for kind in subject.kinds}
    for part in ("develop", "check"):
        counts = Counter(kind for row in _SENTENCES[part] for kind in row["kinds"])
        assert counts.keys() == KINDS.keys()
        assert min(counts.values()) >= 3
    assert len({row["text"] for row in _ALL}) == len(_ALL)


@pytest.mark.parametrize("part", ["check", "fresh"])
def test_names_the_kinds_of_sentences_written_by_hand(part: str) -> None:
    right = wrong = lost = 0
    for row in _SENTENCES[part]:
        truth, found = set(row["kinds"]), named(row["text"])
        right, wrong, lost = right + len(truth & found), wrong + len(found - truth), lost + len(truth - found)
    assert right / (right + lost) >= 0.90
    assert right / (right + wrong) >= 0.95


@pytest.mark.parametrize(
    "text",
    [
        "There are no extra fingers and both eyes are present.",
        "The handle isn't detached, and the tree is not upside down.",
        "The dog does not have two heads.",
        "There is neither a third eye nor a missing leg on the chair.",
        "The ball is not floating. The letters aren't mirrored or garbled.",
        "The clock is not without hands.",
        "No finger is missing.",
        "No legs of the chair are missing, no gap between its seat and the back.",
        "The shadow is not inconsistent with the light; the water is not tilted.",
        "",
        "?!",
    ],
)
def test_what_is_denied_names_nothing(text: str) -> None:
    assert named(text) == frozenset()
    assert named(text, SUBJECTS) == frozenset()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_restrict_the_answer_to_their_own_kinds(subject: str) -> None:
    own = {kind.name for kind in SUBJECTS[subject].kinds}
    for row in _ALL:
        assert named(row["text"], [subject]) <= own, row
        assert named(row["text"], [subject]) >= named(row["text"]) & own, row


def test_subjects_tell_whose_part_is_meant() -> None:
    assert named("A leg is missing.") == frozenset()
    assert named("A leg is missing.", {"chair"}) == {"missing_chair_leg"}
    assert named("A leg is missing.", {"person"}) == {"one_leg"}
    assert named("The table is missing a leg.", {"chair"}) == frozenset()
    assert named("It has no hands.", {"clock"}) == {"no_hands"}
    assert named("It has no hands.", {"mug", "face"}) == frozenset()


def test_refuses_a_string_of_subjects_whose_letters_would_pass_for_names() -> None:
    with pytest.raises(TypeError, match="collection"):
        named("A leg is missing.", "chair")


@pytest.mark.parametrize("part", ["denied", "denied_fresh"])
def test_reads_denials_conditionals_and_what_the_prompt_asks_for(part: str) -> None:
    wrong = {
        row["text"]: named(row["text"]) for row in _SENTENCES[part] if named(row["text"]) != set(row["kinds"])
    }
    assert not wrong


@pytest.mark.parametrize(
    "number", ["13", "13000", "9" * 5_000, "thirteen", "one hundred", "twenty-one", "a dozen"]
)
def test_counts_beyond_twelve(number: str) -> None:
    assert named(f"The hand has {number} fingers.") == {"extra_finger"}


def test_a_pronoun_means_what_the_sentence_before_was_about() -> None:
    assert named("A dog sits on the lawn. Its legs are missing.") == {"no_legs"}
    assert named("There is a red ball on the right. It floats in the air.") == {"floating_ball"}


def test_reads_quickly_and_long_texts_without_delay() -> None:
    texts = [row["text"] for row in _ALL] * 4
    start = time.process_time()
    for text in texts:
        named(text)
    assert len(texts) / (time.process_time() - start) >= 2_000


@pytest.mark.parametrize(
    "phrase",
    ["a missing leg of the dog and the chair and ", "gap eye ", "no extra eye, ", ", had ", "1" * 50],
)
def test_a_long_text_of_one_phrase_takes_no_time(phrase: str) -> None:
    start = time.process_time()
    named(phrase * (2 * MAX_CHARACTERS // len(phrase)))
    assert time.process_time() - start < 0.6
