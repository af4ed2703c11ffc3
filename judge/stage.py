"""The stage `judge` of a run: descriptions against golden ones, where people found a defect."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import prompts as prompt_files
from engines.account import account_of, usage_in
from engines.base import Engine
from engines.prices import price_of
from engines.registry import build, served_model
from flawscribe.consent import Allow, ask_leave
from flawscribe.errors import SetupError, UserError
from flawscribe.keys import key_of
from flawscribe.records import Row, Sample, Usage, Verdict
from flawscribe.runs import Run, record_of
from flawscribe.stages import Counts, noted, run_stage
from judge import claims_judge
from judge.model_judge import ModelJudge
from judge.task import CRITERIA, Task, references

STAGE = "judge"
FORMAT = 2
"""Raised when the way answers are asked for or read changes: old verdicts are then asked for again."""


def judge_run(
    run: Run,
    *,
    judge: str = claims_judge.NAME,
    base_url: str | None = None,
    key_env: str = "OPENAI_API_KEY",
    prompts: str | Path | None = None,
    redo: bool = False,
    tell: Callable[[str], None] | None = None,
    allow: Allow | None = None,
    window: int | None = None,
    timeout: float = 120.0,
    retries: int = 4,
    prices: str | Path | None = None,
) -> Counts:
    """Judge the descriptions without a verdict, of samples whose golden data is defective and has texts.

    `judge` is "claims" (offline, not an LLM) or the name under which a server offers a model; its key is
    read from the environment variable `key_env`. `tell` (default: a line on stderr) hears what leaves the
    machine before the first call, and `allow` decides whether it may (see `flawscribe.consent`). An answer that does
    not validate leaves its verdict unscored; so does a server's fault, and the next pass asks again. `prices` is a file
    for `engines.prices`, by which the cost is noted beside calls and tokens. Raises UserError for arguments that do not
    fit, SetupError where the model cannot be asked at all.
    """
    say = tell or (lambda line: print(line, file=sys.stderr))
    if not judge.strip():
        raise UserError("--judge needs a name: claims, or a model that a server offers")
    offline = judge == claims_judge.NAME
    if offline and base_url is not None:
        raise UserError("--judge-base-url needs --judge MODEL: claims asks no server")
    if offline and prices is not None:
        raise UserError("--prices needs --judge MODEL: claims costs nothing")
    price = price_of(prices, judge) if prices is not None else None
    asked = {} if offline else {name: prompt_files.load(f"judge_{name}", prompts) for name in CRITERIA}
    settings: dict[str, Any] = {"judge": judge} | (
        {"version": claims_judge.VERSION}
        if offline
        else {p.name: f"v{p.version} {p.digest}" for p in asked.values()} | {"temperature": 0.0}
    )
    described = _descriptions(run)

    def samples() -> Iterator[Sample]:
        return (s for s in run.samples() if references(s) and described(s.id) is not None)

    def key(sample: Sample) -> str:
        return key_of(
            stage=STAGE, format=FORMAT, text=described(sample.id), references=references(sample), **settings
        )

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        tasks = (Task(sample.id, k, described(sample.id) or "", references(sample)) for sample, k in pairs)
        if offline:
            yield from claims_judge.judge_tasks(tasks)
        elif (first := next(tasks, None)) is not None:
            with judging(judge, base_url, key_env, window, timeout, retries) as engine:
                n = sum(1 for _ in samples())
                if not ask_to_judge(run, judge, n, engine, allow):
                    say(_leaving(judge, n, engine))
                rows = ModelJudge(engine, asked).judge_tasks(chain([first], tasks))
                yield from noted(rows, lambda: run.note(STAGE, engine=engine.facts()))

    with run.lock():
        counts = run_stage(run, STAGE, settings, key, process, samples=samples, redo=redo)
        account = account_of(_usages(run))
        facts = account.facts() | (price.facts(account) if price else {})
        run.note(STAGE, judge=claims_judge.TOLD if offline else judge, account=facts)
    return counts


def ask_to_judge(run: Run, judge: str, n: int, engine: Engine, allow: Allow | None) -> bool:
    """Ask for leave to send up to `n` descriptions to the judge's server; see `flawscribe.consent.ask_leave`."""
    return ask_leave(run, STAGE, engine.facts()["base_url"], lambda: _leaving(judge, n, engine), allow)


def _leaving(judge: str, n: int, engine: Engine) -> str:
    url = engine.facts()["base_url"]
    return f"judge {judge}: up to {n} descriptions and their golden texts go to {url}; no image does"


def _descriptions(run: Run) -> Callable[[str], str | None]:
    """A function from an id to its description, "" where that says flawless, None where there is none."""
    find = run.lookup("describe")

    def described(name: str) -> str | None:
        row = find(name)
        return None if row is None or row.record is None else str(row.record.get("text", ""))

    return described


@contextmanager
def judging(
    judge: str,
    base_url: str | None,
    key_env: str,
    window: int | None = None,
    timeout: float = 120.0,
    retries: int = 4,
) -> Iterator[Engine]:
    """The openai engine for the judge; its set-up errors name the judge's options, not other verbs'."""
    if find_spec("aiohttp") is None:
        raise SetupError(f"--judge {judge} needs aiohttp: pip install 'flawscribe[judge]'")
    try:
        engine, _ = build(
            "openai",
            served_model(judge),
            base_url=base_url,
            api_key_env=key_env,
            window=window,
            timeout=timeout,
            retries=retries,
        )
        try:
            yield engine
        finally:
            engine.close()
    except UserError as e:
        told = str(e).replace("--base-url", "--judge-base-url").replace("--model", "--judge")
        raise type(e)(told) from e


def _usages(run: Run) -> Iterator[Usage]:
    """What each row on record was paid with, superseded ones too."""
    for row in run.rows(STAGE):
        verdicts = [record_of(row, Verdict, STAGE, criterion) for criterion in CRITERIA if row.ok]
        held = [verdict.details.get("references", []) for verdict in verdicts]
        compared = chain.from_iterable(found if isinstance(found, list) else [found] for found in held)
        yield sum((usage_in(entry, row.id, STAGE) for entry in compared), Usage())
