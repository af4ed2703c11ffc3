"""A JSON schema as a grammar for constrained decoding, the same for every engine that decodes here."""

import functools
import json
from typing import Any

from xgrammar import Grammar


def grammar(schema: dict[str, Any]) -> str:
    """The schema as a grammar that lets a model lay out JSON as it was trained to, with one space at most.

    The usual translations allow either any run of whitespace, in which models get stuck, or none at all.
    """
    return _grammar(json.dumps(schema))


@functools.cache
def _grammar(schema: str) -> str:
    return str(Grammar.from_json_schema(schema, any_whitespace=True, max_whitespace_cnt=1))
