"""JSON schemas: what fits is known fast, what does not is explained."""

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import fastjsonschema

if TYPE_CHECKING:
    from jsonschema import ValidationError

_MOST = 100
"""Errors of which the one to tell is chosen: a list of millions may have one in each item."""


class Schema:
    """A JSON schema of what both libraries read alike: types, enums, required and additional properties, bounds."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    @cached_property
    def _check(self) -> Any:
        return fastjsonschema.compile(self.schema, use_default=False)

    def error(self, found: Any) -> "ValidationError | None":
        """What is wrong with a value, as jsonschema tells it; None where it fits. RecursionError for endless nesting.

        jsonschema's own way through a small answer takes longer than to read it from the network.
        """
        try:
            self._check(found)
        except fastjsonschema.JsonSchemaException:
            from jsonschema import Draft202012Validator  # takes long to import, too
            from jsonschema.exceptions import best_match

            return best_match(islice(Draft202012Validator(self.schema).iter_errors(found), _MOST))
        return None
