"""What a run would take, worked out on a sample of its rows. No model is asked and nothing is sent."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from describe.protocol import STAGE, Plan
from describe.stage import Describing, account_of_run, describing
from engines.account import Account, amount
from engines.base import Answer, Request
from engines.counting import Counter, counter_of
from engines.openai_body import Form
from engines.prices import Price, price_of
from engines.registry import check_params, is_served
from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_image
from flawscribe.records import Failure, Sample, Usage
from flawscribe.runs import Run

LOOKED_AT = 20
Pair = tuple[float, float]
"""The least and the most that a run takes, where that depends on its answers."""


@dataclass
class Estimate:
    """What describing would take: of `images`, `done` have good rows and `bad` are no samples.

    Each pair is (least, most): least where no answer finds a defect, most where each does and is as long as
    `--max-tokens` allows. `prompt_tokens` is None where nobody knows what a picture takes. Second attempts come on top.
    """

    images: int = 0
    done: int = 0
    bad: int = 0
    looked_at: int = 0
    unreadable: int = 0
    calls: Pair = (0, 0)
    prompt_tokens: Pair | None = (0, 0)
    completion_tokens: Pair = (0, 0)
    sent_bytes: Pair = (0, 0)
    cost: Pair | None = None
    currency: str = ""
    how: dict[str, str] = field(default_factory=dict)

    @property
    def to_ask(self) -> int:
        """Rows that the run would ask for."""
        return self.images - self.done - self.bad


def estimate(
    source: Iterable[Sample | tuple[str, Failure]],
    rows: Run | None = None,
    *,
    engine: str = "auto",
    base_url: str | None = None,
    params: Mapping[str, Any] | None = None,
    media: str = "data",
    redo: bool = False,
    prices: str | Path | None = None,
    batch: bool = False,
    measured: str | Path | None = None,
    looked_at: int = LOOKED_AT,
    seed: int = 0,
    **asked: Any,
) -> Estimate:
    """Estimate what describing the samples of `source` would take, where the run `rows` may hold rows of them already.

    `looked_at` of the rows to ask, drawn with `seed`, are looked at. Tokens are those measured in `rows`, or in
    the run `measured`, where it was described with the same settings; else they are counted (`engines.counting`).
    `batch` takes the batch's discount off. `asked` is for `describing`. UserError for arguments that do not fit.
    """
    how = describing(engine=engine, base_url=base_url, params=params, **asked)
    price = price_of(prices, how.ref.name) if prices is not None else None
    found = Estimate()
    drawn = _drawn(_to_ask(source, None if redo else rows, how, found), looked_at, random.Random(seed))
    form = (
        Form(how.ref.served_name, check_params(params or {}), media) if is_served(engine, base_url) else None
    )
    _look(found, drawn, how, counter_of(how.ref), form)
    _measure(found, how, rows if measured is None else Run.open(measured), wanted=measured is not None)
    if price:
        _charge(found, price, batch)
    return found


def _to_ask(
    samples: Iterable[Sample | tuple[str, Failure]], rows: Run | None, how: Describing, found: Estimate
) -> Iterator[Sample]:
    good: dict[str, str] = {}
    for head in rows.heads(STAGE) if rows else ():
        good.pop(head.id, None)
        if head.ok:
            good[head.id] = head.key
    digests = Digests(rows.path) if rows and good else None
    for sample in samples:
        found.images += 1
        if not isinstance(sample, Sample):
            found.bad += 1
        elif digests and sample.id in good and good[sample.id] == how.key(sample, digests):
            found.done += 1
        else:
            yield sample


def _drawn(samples: Iterator[Sample], n: int, chance: random.Random) -> list[Sample]:
    """`n` of the samples, each as likely as any (a reservoir: their number is not known before)."""
    kept: list[Sample] = []
    for i, sample in enumerate(samples):
        if i < n:
            kept.append(sample)
        elif (at := chance.randint(0, i)) < n:
            kept[at] = sample
    return kept


def _look(found: Estimate, drawn: list[Sample], how: Describing, counter: Counter, form: Form | None) -> None:
    found.looked_at = len(drawn)
    found.how = {"prompt text": counter.how["text"], "pictures": counter.how["pictures"]}
    sums = [[0.0] * 4, [0.0] * 4]  # calls, prompt tokens, completion tokens, bytes; least and most
    known = True
    counted: dict[Request, tuple[int | None, int]] = {}
    for sample in drawn:
        try:
            load_image(sample.image)
        except ImageFailure:
            found.unreadable += 1
            continue
        for defective, total in zip((False, True), sums, strict=True):
            for request, answer in _asked(how.plan(sample), defective):
                if request not in counted:
                    counted[request] = counter.prompt(request), len(form.body(request)[0]) if form else 0
                tokens, size = counted[request]
                known = known and tokens is not None
                longest = how.ask.max_tokens
                out = longest if defective else min(counter.text(answer) + 1, longest)
                total[:] = [a + b for a, b in zip(total, (1, tokens or 0, out, size), strict=True)]
    scale = found.to_ask / found.looked_at if found.looked_at else 0.0
    least, most = ([n * scale for n in total] for total in sums)
    found.calls, found.completion_tokens, found.sent_bytes = (
        (least[0], most[0]),
        (least[2], most[2]),
        (least[3], most[3]),
    )
    found.prompt_tokens = (least[1], most[1]) if known else None
    found.how["answers"] = "from the shortest valid ones to --max-tokens in each call"


def _measure(found: Estimate, how: Describing, run: Run | None, wanted: bool) -> None:
    """Put what a run's rows were paid with in place of what was counted."""
    if run is None:
        return
    settings = json.loads(json.dumps(how.settings))
    before = run.settings(STAGE)
    if before != settings:
        names = ", ".join(k for k in sorted({*before, *settings}) if before.get(k) != settings.get(k))
        if wanted:
            raise UserError(
                f"{run.path} was described with other settings ({names}): it measures something else"
            )
        if before:
            found.how["settings"] = f"{run.path} was begun with others ({names}): it would need --redo"
        return
    account = account_of_run(run)
    if not account.rows or not account.total.prompt_tokens:
        if wanted:
            raise UserError(f"{run.path} has measured nothing: its rows hold no tokens")
        return
    share = found.to_ask / account.rows
    for name, n in (
        ("calls", account.total.calls),
        ("prompt_tokens", account.total.prompt_tokens),
        ("completion_tokens", account.total.completion_tokens),
    ):
        setattr(found, name, (n * share, n * share))
    told = f"measured on {account.rows:,} rows of {run.path}, second attempts among them"
    found.how = {"calls and tokens": told}


def _charge(found: Estimate, price: Price, batch: bool) -> None:
    costs = []
    for at in (0, 1):
        usage = Usage(
            prompt_tokens=round(found.prompt_tokens[at]) if found.prompt_tokens else 0,
            completion_tokens=round(found.completion_tokens[at]),
        )
        costs.append(price.cost(Account(usage, usage if batch else Usage(), found.to_ask)))
    if found.prompt_tokens is not None or not price.by_tokens:
        found.cost = costs[0], costs[1]
    found.currency = price.currency
    found.how["prices"] = price.source + (", as a batch" if batch else "")


def _asked(plan: Plan, defective: bool) -> Iterator[tuple[Request, str]]:
    """What a plan asks where every answer is that there is a defect, or that there is none; with those answers."""
    try:
        requests = next(plan)
        while True:
            answers = [json.dumps(_answer(request.schema or {}, defective)) for request in requests]
            yield from zip(requests, answers, strict=True)
            requests = plan.send([Answer(text) for text in answers])
    except StopIteration:
        return


def _answer(schema: Mapping[str, Any], defective: bool) -> Any:
    """The shortest value under a wire format's schema that says so."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            # What the prompt intends is taken from the findings: nothing, where a defect is to remain.
            return {
                name: [] if name == "Intended" else _answer(part, defective)
                for name, part in schema["properties"].items()
            }
        case "array" if "minItems" in schema:  # a box: corners apart from each other
            half = schema["minItems"] // 2
            return [0] * half + [1] * (schema["minItems"] - half)
        case "array":
            return [_answer(schema["items"], defective)] if defective else []
        case "boolean":
            return defective
        case "string":
            return "x"
    return schema.get("minimum", 0)


def lines(found: Estimate) -> Iterator[str]:
    """The estimate for a person."""
    bad = f", {found.bad:,} bad rows" if found.bad else ""
    yield f"{found.images:,} images: {found.to_ask:,} to ask, {found.done:,} done before{bad}"
    unreadable = f" ({found.unreadable} unreadable)" if found.unreadable else ""
    tokens = "unknown" if found.prompt_tokens is None else _range(found.prompt_tokens)
    table = {
        "looked at": f"{found.looked_at}{unreadable}",
        "calls": _range(found.calls),
        "tokens in": tokens,
        "tokens out": _range(found.completion_tokens),
        "sent": f"{_range(tuple(n / 1e6 for n in found.sent_bytes), 1)} MB"
        if any(found.sent_bytes)
        else "nothing",
    }
    if found.currency:
        costs = "unknown" if found.cost is None else " to ".join(dict.fromkeys(map(amount, found.cost)))
        table["cost"] = f"{costs} {found.currency}"
    for name, value in table.items():
        yield f"  {name:<26}{value}"
    for what, how in found.how.items():
        yield f"  {what}: {how}"


def _range(pair: tuple[float, ...], digits: int = 0) -> str:
    return " to ".join(dict.fromkeys(f"{n:,.{digits}f}" for n in pair))
