"""Self-consistency: a protocol asked several times with different seeds, and what the answers have in common."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from describe.protocol import Ask, Plan, added, together
from engines.base import Fault
from flawscribe.records import Description, Sample

_WORD = re.compile(r"\w+")


def sampled(plan: Callable[[Sample, Ask], Plan], sample: Sample, ask: Ask, k: int) -> Plan:
    """Ask `k` times side by side, with the seeds from `ask.seed` on, and return what most say.

    `defective` is the majority's, P(defective) the mean of the answers' (their share of yes where an engine gives
    none), a tie is decided by it. The text is the one among the majority's that shares most words with the others.
    Answers that failed do not vote; where all failed, the outcome is the first one's fault.
    """
    plans = [plan(sample, replace(ask, seed=ask.seed + i)) for i in range(k)]
    return agreed((yield from together(plans)))


def agreed(outcomes: list[Description | Fault]) -> Description | Fault:
    """What most of the outcomes say (see `sampled`)."""
    found = [o for o in outcomes if isinstance(o, Description)]
    if not found:
        return outcomes[0]
    told = [o.p_defective if o.p_defective is not None else float(o.defective) for o in found]
    p, votes = sum(told) / len(told), sum(o.defective for o in found)
    defective = votes * 2 > len(found) or (votes * 2 == len(found) and p >= 0.5)
    chosen = _nearest([o for o in found if o.defective == defective])
    failed = Counter(o.kind.value for o in outcomes if isinstance(o, Fault))
    note = f"{votes} of {len(found)} say defective; P {', '.join(f'{x:.3f}' for x in told)}"
    if failed:
        note += f"; failed: {', '.join(f'{n} {kind}' for kind, n in failed.items())}"
    return chosen.model_copy(
        update={
            "p_defective": p,
            "usage": added(*(o.usage for o in found)),
            "steps": {**chosen.steps, "samples": note},
        }
    )


def _nearest(found: list[Description]) -> Description:
    """The description whose words overlap most with the others' (Jaccard); the first of equals."""
    words = [set(_WORD.findall(d.text.lower())) for d in found]

    def shared(i: int) -> float:
        return sum(len(words[i] & w) / max(len(words[i] | w), 1) for w in words)

    return found[max(range(len(found)), key=lambda i: (shared(i), -i))]
