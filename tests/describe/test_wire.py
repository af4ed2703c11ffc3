"""What counts as an answer of the describing model, and what each other answer is called."""

import json

import pytest

from describe.protocol import interpret
from describe.wire import Parsed, parse
from engines import Answer, Fault
from flawscribe.records import Description, FailureKind

TRUE = '{"Defective": true, "Description": ["Six fingers."]}'
FALSE = '{"Defective": false, "Description": []}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TRUE, Parsed(True, "Six fingers.")),
        (f"\n  {FALSE}\n", Parsed(False, "")),
        ('{"Description": [" Six. "], "Defective":true}', Parsed(True, "Six.")),
        (f"```json\n{TRUE}\n```", Parsed(True, "Six fingers.", {"wrapping": "code fence"})),
        (
            f"<think>{FALSE}? No.</think>\n{TRUE}",
            Parsed(True, "Six fingers.", {"reasoning": f"{FALSE}? No."}),
        ),
        (f"Six? Yes.</think>{TRUE}", Parsed(True, "Six fingers.", {"reasoning": "Six? Yes."})),
        (f"[THINK]a[/THINK] {TRUE}", Parsed(True, "Six fingers.", {"reasoning": "a"})),
        (
            f"<think>a</think><answer>{TRUE}</answer>",
            Parsed(True, "Six fingers.", {"reasoning": "a", "wrapping": "answer tag"}),
        ),
        (f"<|begin_of_box|>{FALSE}<|end_of_box|>", Parsed(False, "", {"wrapping": "box marks"})),
        (
            f"<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>{FALSE}<|end_of_solution|>",
            Parsed(False, "", {"reasoning": "a", "wrapping": "solution marks"}),
        ),
        (
            f"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>{FALSE}<|return|>",
            Parsed(False, "", {"reasoning": "a", "wrapping": "return mark"}),
        ),
        (
            '{"Defective": true, "Description": ["The sign reads </think>."]}',
            Parsed(True, "The sign reads </think>."),
        ),
        ('{"Defective": true, "Description": ["一 \\u00e9 \\ud83d\\ude00"]}', Parsed(True, "一 é 😀")),
    ],
)
def test_valid(answer: str, expected: Parsed) -> None:
    assert parse(answer) == expected


@pytest.mark.parametrize("depth", range(100, 1000, 20))
def test_deep_nesting_is_an_invalid_answer(depth: int) -> None:
    fault = parse('{"a":' * depth + "1" + "}" * depth)
    assert isinstance(fault, Fault) and fault.kind in ("invalid_json", "invalid_answer")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("", "empty_answer"),
        (" \n\t", "empty_answer"),
        ("<think>long</think>", "empty_answer"),
        ("```\n\n```", "empty_answer"),
        ("I'm sorry, but I can't assist with that.", "refused"),
        ("I cannot help with images of people.", "refused"),
        ("As an AI, I do not look at pictures.", "refused"),
        ("The image shows a sorry sight.", "invalid_json"),
        (TRUE[:-1], "invalid_json"),
        (TRUE + TRUE, "invalid_json"),
        (f"Here it is: {TRUE}", "reasoning_before_json"),
        (f"A set {{1, 2}}. Then:\n```json\n{TRUE}\n```", "reasoning_before_json"),
        (f"analysisIt has six.assistantfinal{TRUE}", "reasoning_before_json"),
        (f"I'm sorry for the wait. {TRUE}", "reasoning_before_json"),
        (f"Here it is: {TRUE} Done.", "invalid_json"),
        ("a {" * 100_000 + "}", "invalid_json"),
        ('a {"b": ' + '{"a":' * 50_000 + "1" + "}" * 50_000, "invalid_json"),
        (f"{TRUE} <think>", "invalid_json"),
        ("<think>never ends " + TRUE, "reasoning_before_json"),
        ("<think>never ends", "invalid_json"),
        (TRUE.replace("true", "True"), "invalid_json"),
        (TRUE.replace("Six", "a\nb"), "invalid_json"),
        ('{"Defective": true, "Defective": true, "Description": ["x"]}', "invalid_json"),
        ('{"Defective": NaN, "Description": []}', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("null", "invalid_answer"),
        ("[]", "invalid_answer"),
        ('{"Defective": true}', "invalid_answer"),
        ('{"Defective": "true", "Description": ["x"]}', "invalid_answer"),
        ('{"Defective": 1, "Description": ["x"]}', "invalid_answer"),
        ('{"Defective": true, "Description": "x"}', "invalid_answer"),
        ('{"Defective": true, "Description": ["x", "y"]}', "invalid_answer"),
        ('{"Defective": true, "Description": ["x"], "Score": 2}', "invalid_answer"),
        ('{"Defective": true, "Description": []}', "invalid_answer"),
        ('{"Defective": true, "Description": ["  "]}', "invalid_answer"),
        ('{"Defective": false, "Description": ["x"]}', "invalid_answer"),
        ('{"Defective": true, "Description": ["\\ud800"]}', "invalid_answer"),
    ],
)
def test_invalid(answer: str, kind: str) -> None:
    fault = parse(answer)
    assert isinstance(fault, Fault)
    assert fault.kind == kind
    assert "\n" not in fault.message and len(fault.message) < 400
    json.dumps(fault.message).encode()


def test_an_answer_that_was_cut_off_is_truncated_even_if_it_reads_well() -> None:
    fault = interpret(Answer(TRUE, "length"))
    assert isinstance(fault, Fault) and fault.kind == FailureKind.TRUNCATED


def test_a_text_that_is_none_is_a_fault() -> None:
    fault = interpret(Answer(["a"]))  # type: ignore[arg-type]
    assert isinstance(fault, Fault) and fault.kind == FailureKind.SERVER_ERROR


def test_a_description_carries_what_was_taken_off() -> None:
    found = interpret(Answer(f"```\n{FALSE}\n```"))
    assert isinstance(found, Description)
    assert found.steps == {"wrapping": "code fence"}
    assert (found.defective, found.text, found.p_defective) == (False, "", None)
