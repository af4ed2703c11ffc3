"""The wire format: what the describing model is asked for, and what is accepted as an answer.

Nothing is repaired. Two wrappings that say nothing about the answer are taken off and noted: a leading block
of reasoning within its family's own marks, and a code fence or a family's marks around the whole answer. Reasoning
without marks is no part of the format: an object that comes after other text is a failure of its own kind.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from engines.base import Fault
from flawscribe.errors import is_text, one_line
from flawscribe.records import FailureKind
from flawscribe.schemas import Schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Defective": {"type": "boolean"},
        "Description": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
    },
    "required": ["Defective", "Description"],
    "additionalProperties": False,
}
"""`{"Defective": bool, "Description": [str] | []}`; that both agree is checked after decoding."""

VALIDATOR = Schema(SCHEMA)
MOST_FINDINGS = 12
"""The longest list of defects that is taken, for protocols that have them listed."""
TEXT = {"type": "string", "minLength": 1, "maxLength": 600}
SEVERITY = {"enum": ["slight", "moderate", "severe"]}
NO_TEXT = "it holds half a surrogate pair, which is no text"
# Some templates write the opening <think> themselves, so that an answer begins within it.
_THOUGHTS = re.compile(
    r"\A\s*(?:"
    r"(?![\s{`\[])(?:<think>)?(?P<think>.*?)</think>"
    r"|\[THINK\](?P<mistral>.*?)\[/THINK\]"
    r"|<\|begin_of_thought\|>(?P<thought>.*?)<\|end_of_thought\|>"
    r"|<\|channel\|>analysis<\|message\|>(?P<harmony>.*?)<\|end\|>(?:<\|start\|>assistant)?"
    r"<\|channel\|>final(?: <\|constrain\|>\w+)?<\|message\|>"
    r")",
    re.DOTALL,
)
_WRAPPINGS = {
    "code fence": re.compile(r"\A```(?:json|JSON)?[ \t]*\n(.*)\n```\Z", re.DOTALL),
    "answer tag": re.compile(r"\A<answer>(.*)</answer>\Z", re.DOTALL),
    "box marks": re.compile(r"\A<\|begin_of_box\|>(.*)<\|end_of_box\|>\Z", re.DOTALL),
    "solution marks": re.compile(r"\A<\|begin_of_solution\|>(.*)<\|end_of_solution\|>\Z", re.DOTALL),
    "return mark": re.compile(r"\A(.*)<\|return\|>\Z", re.DOTALL),
}
_MOST_STARTS = 100  # places at which an object after other text may begin
_REFUSAL = re.compile(
    r"\A\W*(i['’]?m (very )?sorry|i am (very )?sorry|sorry\b|i apologi[sz]e|(unfortunately,? )?i('m| am)? "
    r"(cannot|can['’]?t|can not|unable to|not able to|won['’]?t|will not|must decline|decline)|as an ai\b)",
    re.IGNORECASE,
)


def object_schema(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def agreement(found: dict[str, Any]) -> str:
    """Why an answer with a list of findings contradicts itself, or nothing."""
    if found["Defective"] == bool(found["Findings"]):
        return ""
    return f"Defective is {json.dumps(found['Defective'])}, with {len(found['Findings'])} findings"


@dataclass(frozen=True)
class Parsed:
    """A valid answer. `text` is empty exactly when not `defective`; `notes` holds what was taken off."""

    defective: bool
    text: str
    notes: dict[str, str] = field(default_factory=dict)


def parse(answer: str) -> Parsed | Fault:
    """Read a model's whole answer; anything but one valid object of the wire format is a Fault."""
    read = read_object(answer, VALIDATOR)
    if isinstance(read, Fault):
        return read
    found, notes = read
    defective, texts = found["Defective"], [text.strip() for text in found["Description"]]
    if defective and not any(texts):
        return Fault(FailureKind.INVALID_ANSWER, "Defective is true, but there is no description")
    if not defective and texts:
        return Fault(
            FailureKind.INVALID_ANSWER, _showing("Defective is false, but there is a description", answer)
        )
    text = texts[0] if texts else ""
    if not is_text(text):
        return Fault(
            FailureKind.INVALID_ANSWER, "the description holds half a surrogate pair, which is no text"
        )
    return Parsed(defective, text, notes)


def read_object(answer: str, validator: Schema) -> tuple[dict[str, Any], dict[str, str]] | Fault:
    """The one JSON object that the whole answer is, valid under the schema, and what was taken off around it."""
    notes: dict[str, str] = {}
    if thoughts := _THOUGHTS.match(answer):
        told = next(text for text in thoughts.groups() if text is not None)
        notes["reasoning"] = told.strip().encode("utf-8", "replace").decode()
        answer = answer[thoughts.end() :]
    answer = answer.strip()
    bare = answer.startswith("{") and answer.endswith("}")
    for name, wrapping in _WRAPPINGS.items():
        if not bare and (inner := wrapping.match(answer)):
            notes["wrapping"] = name
            answer = inner[1].strip()
            break
    if not answer:
        return Fault(FailureKind.EMPTY_ANSWER, "the model answered nothing")
    try:
        found = _DECODER.decode(answer)
    except (ValueError, RecursionError) as e:
        if _ends_in_object(answer):
            return Fault(
                FailureKind.REASONING_BEFORE_JSON, _showing("its object comes after other text", answer)
            )
        if _REFUSAL.match(answer):
            return Fault(FailureKind.REFUSED, _showing("the model declined", answer))
        return Fault(FailureKind.INVALID_JSON, _showing(f"not JSON ({one_line(e, 80)})", answer))
    try:
        error = validator.error(found)
    except RecursionError:  # its message repeats the value, at whatever depth
        return Fault(FailureKind.INVALID_ANSWER, _showing("nested too deeply", answer))
    if error:
        where = f" at {error.json_path}" if error.path else ""
        return Fault(FailureKind.INVALID_ANSWER, _showing(f"{one_line(error.message, 120)}{where}", answer))
    return found, notes


def cut_off(answer: str, tokens: int) -> Fault:
    """The fault of an answer that ran into the limit: endless white space, which grammars allow, is its own kind."""
    if len(answer) - len(answer.rstrip()) > max(20, len(answer) / 4):
        return Fault(
            FailureKind.WHITESPACE_LOOP, f"nothing but white space up to the limit of {tokens} tokens"
        )
    return Fault(FailureKind.TRUNCATED, f"cut off after {tokens} tokens")


def _ends_in_object(answer: str) -> bool:
    """Whether text comes first and one JSON object, perhaps in a code fence, ends the answer."""
    text = answer.removesuffix("```").rstrip()
    if answer.startswith("{") or not text.endswith("}"):
        return False
    decoder = json.JSONDecoder()
    for _, start in zip(range(_MOST_STARTS), re.finditer(r"\{", text), strict=False):
        try:
            _, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _showing(what: str, answer: str) -> str:
    return f"{what}: {one_line(answer, 100)!r}"
