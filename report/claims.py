"""The claims judge's matches as lines for a card; other judges leave no such details and get no lines."""

from collections.abc import Iterator
from typing import Any

from flawscribe.records import Verdict

LONGEST = 40


def claim_lines(verdict: Verdict) -> list[str]:
    """One line a match, a miss, an invention and a contradiction, for each golden text that was compared."""
    lines: list[str] = []
    for details in _comparisons(verdict.details):
        golden, told = (_texts(details["claims"].get(name)) for name in ("reference", "description"))
        for match in _dicts(details.get("matches")):
            pair = _at(golden, match.get("reference")), _at(told, match.get("description"))
            if all(pair):
                elsewhere = " (elsewhere)" if match.get("misplaced") else ""
                lines.append(f"matched{elsewhere}: “{pair[1]}” with golden “{pair[0]}”")
        lines += [
            f"missed: golden “{text}”" for i in _list(details.get("misses")) if (text := _at(golden, i))
        ]
        lines += [
            f"not in golden: “{text}”" for i in _list(details.get("invented")) if (text := _at(told, i))
        ]
        lines += [
            f"contradiction in {text}"
            for text in _list(details.get("contradictions"))
            if isinstance(text, str)
        ]
    return lines[:LONGEST]


def _comparisons(value: Any) -> Iterator[dict[str, Any]]:
    """The comparisons inside a verdict's details: itself, or one for each golden text."""
    if isinstance(value, dict):
        if isinstance(value.get("claims"), dict):
            yield value
        else:
            for inner in value.values():
                yield from _comparisons(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _comparisons(inner)


def _texts(claims: Any) -> list[str]:
    return [str(claim.get("text", ""))[:300] for claim in _dicts(claims)]


def _at(texts: list[str], index: Any) -> str | None:
    return texts[index] if isinstance(index, int) and 0 <= index < len(texts) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]
