"""Which of the scenes' defect kinds an English text names: rules over the words of `words.yaml`, no model.

A sentence becomes a row of tokens, each a thing (an eye, a chair) or what is said of one (extra, missing,
floating). Every state is joined to the things that it is said of, every part to the thing that it belongs to;
a kind is named where both are its own. What is denied ("no extra finger", "is not detached"), supposed ("if it had
…") or asked for ("the prompt asks for …", "as requested") names nothing; a part that is denied is missing.
"""

from collections.abc import Collection

from scenes.naming.denials import resolved
from scenes.naming.sentence import Sentence
from scenes.naming.words import MAX_CHARACTERS, RULES, SUBJECTS, Token, sentences

__all__ = ["MAX_CHARACTERS", "named"]


def named(text: str, subjects: Collection[str] | None = None) -> frozenset[str]:
    """The names of the defect kinds that an English text says are in the picture; empty if none.

    `subjects` (such as {"mug", "dog"}) restricts the answer to kinds of these subjects, and a part whose owner
    the text leaves unsaid ("a leg is missing") is then taken for theirs. Only the first 8,000 characters count.
    TypeError if `subjects` is a plain string.
    """
    if isinstance(subjects, str):
        raise TypeError(f'subjects is a collection of names, such as {{"{subjects}"}}, not a string')
    found: set[str] = set()
    topic: Token | None = None  # what the sentence before was about, for "it"
    said: frozenset[str] = frozenset()  # the subjects that it named
    for tokens in sentences(text[:MAX_CHARACTERS]):
        sentence = Sentence(resolved(tokens), topic, said)
        for state, thing, owners in sentence.faults():
            for rule in RULES.get((state, thing), ()):
                if subjects is not None and rule.subject not in subjects:
                    continue
                if rule.beside and not rule.beside & (sentence.present | said):
                    continue
                own = thing in (rule.subject, f"{rule.subject}s") or owners & rule.owners
                if own or (not owners and (rule.loose or subjects is not None)):
                    found.add(rule.kind)
        topic = sentence.topic
        said = sentence.present & SUBJECTS or said
    return frozenset(found)
