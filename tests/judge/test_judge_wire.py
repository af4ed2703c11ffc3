"""The judge's answers: exactly one integer of 0, 1 and 2, or a reason."""

import pytest

from judge.wire import parse


@pytest.mark.parametrize(
    ("answer", "score"), [('{"Score": [0]}', 0), ('{"Score":[1]}', 1), ('\n {"Score": [ 2 ]}\n', 2)]
)
def test_valid_answers(answer: str, score: int) -> None:
    assert parse(answer) == score


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n",
        "2",
        "[2]",
        '"2"',
        "null",
        "2/2",
        "Score: 2",
        '{"Score": 2}',
        '{"Score": []}',
        '{"Score": [1, 2]}',
        '{"Score": [3]}',
        '{"Score": [-1]}',
        '{"Score": [5]}',
        '{"Score": ["2"]}',
        '{"Score": [true]}',
        '{"Score": [1.0]}',
        '{"Score": [1.5]}',
        '{"Score": [NaN]}',
        '{"Score": [null]}',
        '{"Score": [[2]]}',
        '{"Score": [2], "Reason": "good"}',
        '{"Score": [0], "Score": [2]}',
        '{"score": [2]}',
        '{"Score": [2]',
        '{"Score": [2]} {"Score": [2]}',
        '```json\n{"Score": [2]}\n```',
        "[" * 100_000,
        *('{"a":' * depth + "1" + "}" * depth for depth in range(800, 1000, 20)),
        '{"Score": [' + "9" * 10_000 + "]}",
    ],
)
def test_everything_else_is_a_reason_and_no_number(answer: str) -> None:
    reason = parse(answer)
    assert isinstance(reason, str) and reason
    assert len(reason) < 300 and "\n" not in reason
