"""The stage `describe` of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import prompts as prompt_files
from describe.batch import BatchEngine, emit
from describe.boxes import ASKED_FOR, convention
from describe.calibrated import calibrated, note
from describe.calibration import Calibration, check, read
from describe.leaving import leaving, sending
from describe.protocol import MAX_TOKENS, STAGE, Ask, Plan
from describe.protocols import ONE_CALL, PROTOCOLS
from describe.sampled import sampled
from describe.schedule import describe_samples
from engines.account import Account, account_of, usage_in
from engines.base import Engine
from engines.openai_body import Form
from engines.prefix_cache import told
from engines.prices import price_of
from engines.registry import WAIT, build, check_params, choose, is_served, served_model
from flawscribe.consent import Allow, ask_leave
from flawscribe.digests import Digests
from flawscribe.errors import UserError, did_you_mean
from flawscribe.fetched import fetching
from flawscribe.images import ImageFailure
from flawscribe.keys import Keys
from flawscribe.models import ModelRef, resolve_model
from flawscribe.records import Failure, Row, Sample, Usage
from flawscribe.runs import Run
from flawscribe.stages import Counts, noted, run_stage

FORMAT = 2
"""Raised when the wire format or the way answers are asked for or read changes: old rows are then asked for again."""


@dataclass(frozen=True)
class Describing:
    """How a run is described: what decides the content of its rows (`settings`), the model, and each sample's plan."""

    ref: ModelRef
    ask: Ask
    plan: Callable[[Sample], Plan]
    settings: dict[str, Any]
    calibration: Calibration | None = None

    def key(self, sample: Sample, digests: Digests) -> str | Failure:
        """The key of a sample's row, or why the sample cannot be asked about."""
        try:
            image = digests.digest(sample.image)
        except ImageFailure as e:
            return e.failure(STAGE)
        return self._keys(image=image, text=sample.prompt)

    @cached_property
    def _keys(self) -> Keys:
        return Keys("image", "text", stage=STAGE, format=FORMAT, **self.settings)


def describing(
    *,
    model: str = "nano",
    engine: str = "auto",
    protocol: str = "single",
    prompts: str | Path | None = None,
    base_url: str | None = None,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
    replay: str | None = None,
    params: Mapping[str, Any] | None = None,
    samples: int = 1,
    boxes: str = "auto",
    calibration: str | Path | None = None,
    max_pixels: int | None = None,
) -> Describing:
    """Check and collect what decides the answers; UserError for arguments that do not fit."""
    if protocol not in PROTOCOLS:
        raise UserError(f"there is no protocol {protocol!r}.{did_you_mean(protocol, PROTOCOLS)}")
    if not 0 <= temperature <= 2:  # NaN too is refused
        raise UserError(f"--temperature must be from 0 to 2, not {temperature}")
    if samples < 1 or (samples > 1 and temperature == 0):
        raise UserError(
            f"--samples {samples} needs a temperature above 0, such as --temperature 0.7: greedy answers are the same"
            if samples > 1
            else f"--samples must be at least 1, not {samples}"
        )
    if boxes != "auto" and protocol != "grounded":
        raise UserError(f"--boxes is for --protocol grounded: {protocol} asks for none")
    file, plan = PROTOCOLS[protocol]
    prompt = prompt_files.load(file, prompts)
    if max_pixels is not None and max_pixels < 1:
        raise UserError(f"--max-pixels must be at least 1, not {max_pixels}")
    chosen, _ = choose(engine, base_url) if engine != "auto" else (engine, "")
    ref = _model(model, chosen, base_url, replay)
    counted = convention(boxes, ref) if protocol == "grounded" else ASKED_FOR
    ask = Ask(prompt, max_tokens, temperature, seed, counted, max_pixels)
    settings: dict[str, Any] = {
        "model": ref.name,
        "revision": ref.revision,
        "protocol": protocol,
        "prompt": f"{prompt.name} v{prompt.version} {prompt.digest}",
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed if temperature > 0 else 0,
        **({"params": check_params(params)} if params else {}),
        **({"samples": samples} if samples > 1 else {}),
        **({"boxes": counted.told()} if protocol == "grounded" else {}),
        **({"max_pixels": max_pixels} if max_pixels is not None else {}),
    }

    def begin(sample: Sample) -> Plan:
        return sampled(plan, sample, ask, samples) if samples > 1 else plan(sample, ask)

    if calibration is None:
        return Describing(ref, ask, begin, settings)
    fitted = read(calibration)
    check(fitted, settings, calibration)
    settings["calibration"] = fitted.settings()
    return Describing(ref, ask, lambda s: calibrated(lambda: begin(s), fitted), settings, fitted)


def describe_run(
    run: Run,
    *,
    engine: str = "auto",
    base_url: str | None = None,
    redo: bool = False,
    replay: str | None = None,
    window: int | None = None,
    timeout: float = 120.0,
    wait: float = WAIT,
    params: Mapping[str, Any] | None = None,
    media: str = "data",
    allow_urls: bool = False,
    allow: Allow | None = None,
    from_batch: Sequence[str | Path] = (),
    prices: str | Path | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    tell: Callable[[str], None] | None = None,
    quiet: bool = False,
    **asked: Any,
) -> Counts:
    """Describe the run's samples that have no good row yet. The engine starts only if there are any.

    `asked` is for `describing`: model, protocol, prompts, max_tokens, temperature, seed, samples, boxes, calibration,
    max_pixels. With `from_batch` the answers are those of batch files (see `describe.batch`), and no server is asked.
    With `allow_urls` pictures at http(s) addresses are fetched (see `flawscribe.fetch`). `allow` decides what may go
    to another machine (see `flawscribe.consent`). `prices` is a file for `engines.prices`, by which the run's cost is
    noted beside its calls and tokens. With `cluster`, an address or "local", so many `workers` do it (see
    `describe.cluster`). `tell` gets one line on which engine is used and why, and what leaves the machine; `quiet`
    draws no progress bar.
    Raises UserError for arguments that do not fit, SetupError where the model cannot be asked at all.
    """
    if from_batch:
        engine = "openai"
    if workers is not None and cluster is None:
        raise UserError("--workers needs --cluster")
    if cluster is None and base_url is not None and "," in base_url:
        raise UserError("--base-url with several addresses needs --cluster, whose workers share them")
    if cluster is not None and from_batch:
        raise UserError("--from-batch asks nobody: leave --cluster out")
    asked |= {"engine": engine, "replay": replay, "params": params}
    reach: dict[str, Any] = {"window": window, "timeout": timeout, "replay": replay, "wait": wait}
    reach |= {"params": params, "media": media}
    how = describing(**asked, base_url=base_url)
    price = price_of(prices, how.ref.name) if prices is not None else None
    digests, keys = Digests(run.path), dict[str, str]()

    def start() -> tuple[Engine, str]:
        if from_batch:
            batch = BatchEngine([Path(file) for file in from_batch], keys.__getitem__)
            return batch, f"batch: answers from {', '.join(Path(file).name for file in from_batch)}"
        return build(engine, how.ref, base_url=base_url, **reach)

    good: list[Callable[[str], Row | None]] = []

    def done(sample: Sample) -> bool:
        """Whether the sample needs no answer."""
        if not good:
            good.append(run.lookup(STAGE))
        row = None if redo else good[0](sample.id)
        return row is not None and row.ok and row.key == how.key(sample, digests)

    def leave(url: str) -> str | None:
        """Have it allowed to send to the server; what is still to be told of that."""
        asked = ask_leave(run, STAGE, url, lambda: leaving(run, done, url, media), allow)
        return None if asked else sending(url, media)

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        first = next(pairs, None)
        if first is None:
            return
        asker, reason = start()
        try:
            url = asker.facts().get("base_url")
            announced = [reason, leave(url) if url is not None else None]
            if tell:
                tell("; ".join(filter(None, announced)))
            pairs = chain([first], pairs)
            rows = describe_samples(_kept(pairs, keys) if from_batch else pairs, asker, how.plan)
            # By the end it is known what the server did not accept.
            yield from noted(rows, lambda: run.note(STAGE, reason=reason, engine=asker.facts()))
            if tell and (line := told(asker.facts())):
                tell(line)
        finally:
            asker.close()

    with run.lock():
        if cluster is None:
            counts = run_stage(
                run,
                STAGE,
                how.settings,
                lambda s: how.key(s, digests),
                process,
                ready=fetching(run, STAGE, allow_urls),
                redo=redo,
                quiet=quiet,
            )
        else:
            from describe.cluster import Cluster, describe_on_cluster

            where = Cluster(cluster, workers, engine, base_url, allow_urls)
            counts = describe_on_cluster(
                run, how, asked, reach, where, leave=leave, redo=redo, tell=tell, quiet=quiet
            )
            digests = Digests(run.path)  # with those of the workers
        account = account_of_run(run)
        run.note(STAGE, account=account.facts() | (price.facts(account) if price else {}))
        if how.calibration is not None:
            note(run, how.calibration, digests, tell)
    return counts


def _kept(pairs: Iterator[tuple[Sample, str]], keys: dict[str, str]) -> Iterator[tuple[Sample, str]]:
    """The pairs, with the key of each kept by its sample's id."""
    for sample, key in pairs:
        keys[sample.id] = key
        yield sample, key


def emit_batch(
    run: Run, file: str | Path, *, media: str = "data", allow_urls: bool = False, **asked: Any
) -> tuple[list[Path], int]:
    """Write requests for the run's samples that have no good row yet as batch files: the files, and their requests.

    `asked` as for `describing`, `media` and `allow_urls` as for `describe_run`. Samples that ask the same share a
    request. UserError for a protocol of several calls.
    """
    how = describing(**{**asked, "engine": "openai"})
    if asked.get("protocol", "single") not in ONE_CALL or asked.get("samples", 1) > 1:
        raise UserError(f"a batch takes protocols of one call: {', '.join(ONE_CALL)}, without --samples")
    digests = Digests(run.path)

    def pairs() -> Iterator[tuple[Sample, str]]:
        good, seen = run.lookup(STAGE), set[str]()
        fetch = fetching(run, STAGE, allow_urls)
        for sample in (s for s, _ in fetch(run.samples())) if fetch else run.samples():
            key, row = how.key(sample, digests), good(sample.id)
            if isinstance(key, str) and key not in seen and not (row and row.ok and row.key == key):
                seen.add(key)
                yield sample, key

    with run.lock():
        form = Form(how.ref.served_name, check_params(asked.get("params") or {}), media)
        return emit(pairs(), how.ask, form, Path(file))


def _model(name: str, engine: str, base_url: str | None, replay: str | None) -> ModelRef:
    if engine == "replay":
        return _replayed(replay)
    return served_model(name) if is_served(engine, base_url) else resolve_model(name)


def _replayed(file: str | None) -> ModelRef:
    """Recorded answers in the place of a model: known by their content, and named for what they are."""
    from engines.replay import digest

    if file is None:
        raise UserError("--engine replay needs --replay FILE (JSON lines of id and text)")
    return ModelRef(
        name="replay (recorded answers, no model)", path=file, revision=digest(file), kind="served"
    )


def account_of_run(run: Run) -> Account:
    """What describing the run has cost up to now: all its rows, superseded ones too."""
    return account_of(_usages(run))


def _usages(run: Run) -> Iterator[Usage]:
    return (usage_in(head.content, head.id, STAGE) for head in run.heads(STAGE))
