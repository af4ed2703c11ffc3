"""P(defective) from the alternatives at the answer's boolean, as different tokenizers cut it."""

from math import log

import pytest

from describe.probability import p_defective
from engines import Token


def token(text: str, **top: float) -> Token:
    return Token(text, tuple((word, log(p)) for word, p in (top or {text: 1.0}).items()))


def tokens(*cut: str, **top: float) -> tuple[Token, ...]:
    """Tokens of these texts; the alternatives `top` stand at the one with a `*` before it."""
    return tuple(token(t[1:], **top) if t.startswith("*") else token(t) for t in cut)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (tokens('{"', "Defective", '":', "* true", ",", **{" true": 0.6, " false": 0.2, " null": 0.2}), 0.75),
        (tokens('{"Defective":', "*true", true=0.3, false=0.1), 0.75),
        (
            tokens('{"Defective": ', "*t", "rue", true=0.2, t=0.1, tr=0.1, false=0.3, f=0.1),
            0.5,
        ),
        (tokens('{"Defective', '*": false', **{'": false': 0.9, '": true': 0.1, '":': 0.0001}), 0.1),
        (tokens('{"Defective":', "* false,", **{" false,": 0.5, " true,": 0.25, "true": 0.25}), 0.5),
        (tokens('{"Description": ["x"], "Defective":', "* true", **{" true": 0.5, " false": 0.5}), 0.5),
        (
            tokens(
                '<think>"Defective": true</think>{"Defective":', "* false", **{" true": 0.2, " false": 0.8}
            ),
            0.2,
        ),
        (tokens('{"Defective":', "* true", **{" true": 0.9, " x": 0.1}), 1.0),
    ],
)
def test_share(found: tuple[Token, ...], expected: float) -> None:
    assert p_defective(found) == pytest.approx(expected)


@pytest.mark.parametrize(
    "found",
    [
        None,
        (),
        tokens('{"Defective": "yes"'),
        tokens('{"Defective":', " true"),
        tokens('{"Description": ["\\"Defective\\": true"]'),
        (Token('{"Defective": ', ()), Token("true", ())),
        tokens('{"Defective": ', "*true", x=0.5, y=0.5),
    ],
)
def test_no_probability_is_made_up(found: tuple[Token, ...] | None) -> None:
    assert p_defective(found) is None


def test_impossible_alternatives_count_nothing() -> None:
    found = (
        Token('{"Defective": ', ()),
        Token("true", (("true", 0.0), ("false", -9999.0), ("f", float("-inf")))),
    )
    assert p_defective(found) == 1.0
