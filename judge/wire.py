"""The judge's wire format: `{"Score": [0|1|2]}`, exactly one integer. Anything else is no score."""

import json
from typing import Any, Literal

from flawscribe.errors import one_line
from flawscribe.schemas import Schema

Score = Literal[0, 1, 2]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Score": {
            "type": "array",
            "items": {"type": "integer", "enum": [0, 1, 2]},
            "minItems": 1,
            "maxItems": 1,
        }
    },
    "required": ["Score"],
    "additionalProperties": False,
}
_VALIDATOR = Schema(SCHEMA)
_SHOWN = 80


def parse(answer: str) -> Score | str:
    """The score of a judge's whole answer, or the reason why it gives none. Nothing is repaired."""
    if not answer.strip():
        return "empty answer"
    try:
        found = json.loads(answer, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return f"invalid JSON: {one_line(answer, _SHOWN)}"
    try:
        error = _VALIDATOR.error(found)
    except RecursionError:  # its message repeats the value, at whatever depth
        return f"not one score of 0, 1 or 2 (nested too deeply): {one_line(answer, _SHOWN)}"
    if error:
        return f"not one score of 0, 1 or 2 ({one_line(error.message, _SHOWN)}): {one_line(answer, _SHOWN)}"
    score = found["Score"][0]
    if type(score) is not int:  # JSON schema takes 1.0 for an integer
        return f"not one score of 0, 1 or 2 (not an integer): {one_line(answer, _SHOWN)}"
    return score  # type: ignore[return-value]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
