"""Training and validation parts that share no picture, no near-duplicate, no pair and no prompt."""

from collections import defaultdict

import numpy as np

from flawscribe.errors import UserError, one_line
from segment.training.data import Example

NEAR = 12
"""Pictures whose 256-bit difference hashes differ in at most so many bits are near-duplicates."""
_TRAIN = {"train", "training"}
_VALID = {"val", "valid", "validation", "dev"}
_CHUNK = 2048


def split(examples: list[Example], share: float, seed: int) -> dict[str, list[Example]]:
    """{"training": …, "validation": …}: the given split, or one that leaves about `share` for validation.

    A split is given by the column `split` (train, val; rows of another part, such as test, are left out). Else
    images of one prompt, one pair (column `pair`), and near-duplicates stay together; whole groups are drawn for
    validation by `seed`, as nearly as their sizes allow. Raises UserError where a split is given for some rows
    alone, or one part would be empty.
    """
    given = [e.part for e in examples]
    if any(given):
        if not all(given):
            missing = next(e.id for e in examples if e.part is None)
            raise UserError(f"{missing}: the column split is given for other rows, but not for this one")
        names = [str(g).strip().lower() for g in given]
        chosen = {
            "training": [e for e, n in zip(examples, names, strict=True) if n in _TRAIN],
            "validation": [e for e, n in zip(examples, names, strict=True) if n in _VALID],
        }
    else:
        chosen = _drawn(examples, share, seed)
    for part, found in chosen.items():
        if not found and any(given):
            others = ", ".join(sorted({one_line(g, 40) for g in given})[:5])
            raise UserError(
                f"the column split leaves nothing for {part}: it says {others}, not train and val"
            )
        if not found:
            raise UserError(
                f"nothing is left for {part}: {len(examples)} images in too few groups "
                "(images of one prompt, one pair and near-duplicates stay together)"
            )
    return chosen


def _drawn(examples: list[Example], share: float, seed: int) -> dict[str, list[Example]]:
    wanted, taken = share * len(examples), 0
    groups = groups_of(examples)
    order = np.random.default_rng(seed).permutation(len(groups))
    valid: set[int] = set()
    for at in order:
        # A group that overshoots more than stopping here would fall short is passed over: the next may fit.
        if taken + len(groups[at]) - wanted <= wanted - taken:
            valid.update(groups[at])
            taken += len(groups[at])
    return {
        "training": [e for i, e in enumerate(examples) if i not in valid],
        "validation": [e for i, e in enumerate(examples) if i in valid],
    }


def groups_of(examples: list[Example]) -> list[list[int]]:
    """The indices of examples that have to stay together, in groups, in the order of their first members."""
    parent = list(range(len(examples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, e in enumerate(examples):
        keys = [("digest", e.digest)]
        keys += [("pair", e.pair)] if e.pair else []
        keys += [("prompt", " ".join(e.prompt.lower().split()))] if e.prompt else []
        for key in keys:
            parent[root(i)] = root(first.setdefault(key, i))
    for i, j in _near(examples):
        parent[root(i)] = root(j)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(examples)):
        groups[root(i)].append(i)
    return sorted(groups.values())


def _near(examples: list[Example]) -> list[tuple[int, int]]:
    """Pairs of near-duplicates, by products of ±1 bit vectors: n²·256 operations, seconds for ten thousand images."""
    bits = np.unpackbits(np.frombuffer(b"".join(e.hash for e in examples), np.uint8).reshape(-1, 32), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    pairs = []
    for start in range(0, len(signs), _CHUNK):
        alike = signs[start : start + _CHUNK] @ signs.T >= 256 - 2 * NEAR
        rows, columns = np.nonzero(alike)
        pairs += [(int(r) + start, int(c)) for r, c in zip(rows, columns, strict=True) if c > r + start]
    return pairs
