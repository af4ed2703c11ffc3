"""Keys, blotted out of whatever is written or told: a server may repeat them in any disguise that JSON allows.

Disguises fall off where an answer is decoded, so what counts is the text as it is written in the end.
"""

SHORTEST = 6  # characters: words such as "EMPTY", which servers without keys are given, are none
_KEYS: set[str] = set()


def keep(key: str | None) -> None:
    """Have `key` blotted out from now on."""
    if key and len(key) >= SHORTEST:
        _KEYS.add(key)


def blotted(text: str) -> str:
    """The text with `***` in the place of every key; keys are printable ASCII, so JSON text shows them as they are."""
    for key in _KEYS:
        if key in text:
            text = text.replace(key, "***")
    return text
