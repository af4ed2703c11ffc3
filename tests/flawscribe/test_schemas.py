"""Schemas: the fast answer is the explained one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from describe import grounded, staged, wire
from flawscribe.schemas import Schema
from judge import wire as judge_wire

SCHEMAS = {
    "single": wire.SCHEMA,
    "grounded": grounded.schema({"type": "number"}),
    "inspect": staged.INSPECT,
    "verify": staged.VERIFY,
    "report": staged.REPORT,
    "judge": judge_wire.SCHEMA,
}
FIELDS = (
    "Defective",
    "Description",
    "Findings",
    "Intended",
    "Finding",
    "What",
    "Where",
    "Severity",
    "Why",
    "Box",
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 14)
    | st.sampled_from([0.0, 1.0, 1.5, 1e9])
    | st.sampled_from(["", "slight", "a hand", "x" * 601])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from((*FIELDS, "Score", "else")), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", SCHEMAS)
@given(found=VALUES)
def test_both_libraries_say_the_same(name: str, found: Any) -> None:
    error = Schema(SCHEMAS[name]).error(found)
    assert (error is None) == Draft202012Validator(SCHEMAS[name]).is_valid(found)


@pytest.mark.parametrize(
    "found", [{"Defective": True, "Description": ["x"]}, {"Defective": False, "Description": []}]
)
def test_what_fits_has_no_error(found: Any) -> None:
    assert Schema(wire.SCHEMA).error(found) is None


@pytest.mark.timeout(20)
def test_a_list_of_a_million_wrong_items_is_explained_at_once() -> None:
    error = Schema(grounded.schema({"type": "number"})).error(
        {"Defective": True, "Findings": [1] * 1_000_000}
    )
    assert error is not None


def test_what_does_not_is_explained() -> None:
    error = Schema(wire.SCHEMA).error({"Defective": "yes", "Description": []})
    assert error is not None and error.json_path == "$.Defective" and "'yes'" in error.message
