"""P(defective): the probability of `true` against `false` at the answer's boolean.

The probabilities of all alternatives at that token whose text goes on to `true` or to `false` are
summed (a grammar may split them over `true`, `t`, …) and renormalised over the two. This is a
probability under the answer's own beginning, not calibrated.
"""

import math
import re

from engines.base import Token

_BOOLEAN = re.compile(r'"Defective"\s*:\s*(?=true|false)')


def p_defective(tokens: tuple[Token, ...] | None) -> float | None:
    """P(true) / (P(true) + P(false)) in [0, 1]; None where the alternatives do not tell."""
    if not tokens:
        return None
    found = list(_BOOLEAN.finditer("".join(token.text for token in tokens)))
    if not found:
        return None
    position, start = found[-1].end(), 0
    for token in tokens:
        if position < start + len(token.text):
            return _share(token, token.text[: position - start])
        start += len(token.text)
    return None


def _share(token: Token, before: str) -> float | None:
    """P(true) from the alternatives to `token`, in which the boolean begins after the text `before`."""
    mass = {"true": 0.0, "false": 0.0}
    told = 0
    for text, logprob in token.top:
        if text.startswith(before):
            rest = text[len(before) :]
        elif not before.strip():
            rest = text.lstrip()
        else:
            continue
        for word in mass:
            if rest and (word.startswith(rest) or rest.startswith(word)):
                mass[word] += math.exp(min(logprob, 0.0)) if not math.isnan(logprob) else 0.0
                told += 1
    total = sum(mass.values())
    # One alternative alone is the chosen token itself: a yes or no, not a probability.
    return mass["true"] / total if total > 0 and (told > 1 or len(token.top) > 1) else None
