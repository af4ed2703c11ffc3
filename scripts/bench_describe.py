"""What asking costs: flawscribe beside a minimal client, the openai package, vLLM's batch runner and inspect_ai.

    python scripts/bench_describe.py --server stub --rows 8192
    python scripts/bench_describe.py --server vllm --rows 400

All clients send the same bytes, those of `flawscribe describe --emit-batch`, to the same server, in turn, so many
times (--repeats); the table shows medians. The stub answers after a fixed time, so that what is left is the client's
own work; vLLM serves nano on this machine. With vLLM every run has a prefix cache of its own (cache_salt) and
pictures are not cached, so that none profits from those before it. Ctrl-C ends it with what there is by then.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscribe.statistics import bootstrap

HERE = Path(__file__).parent
FLAWSCRIBE = [sys.executable, "-c", "from flawscribe.start import main; main()"]
ORDER = ("ceiling", "flawscribe", "one by one", "32 threads", "inspect_ai", "run_batch", "in process")
SALTED = ["--param", "cache_salt=bench"]


@dataclass(frozen=True)
class Run:
    """One client's run: rows, seconds and processor seconds of asking, peak MB, most connections open at the stub."""

    rows: int
    seconds: float
    cpu: float
    peak: float
    most: int = 0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cost(self) -> float:
        """Processor microseconds a row."""
        return 1e6 * self.cpu / self.rows


class Bench:
    """A work folder with pictures and requests, a server, and what was measured: (client, in flight) to its runs."""

    def __init__(self, args: argparse.Namespace, work: Path, url: str) -> None:
        self.args, self.work, self.url = args, work, url
        self.stub = args.server == "stub"
        self.runs: dict[tuple[str, int], list[Run]] = defaultdict(list)
        self.starts: list[tuple[float, float]] = []
        self.stub_costs: list[float] = []
        self.notes: list[str] = []
        self._n = 0
        scenes = work / f"scenes-{args.rows}"
        if not scenes.exists():
            flawscribe("scenes", str(args.rows), "-o", str(scenes), "--size", "128", "--seed", "1")
        self._lines = (scenes / "manifest.jsonl").read_text().splitlines(keepends=True)
        self._scenes = scenes
        self.requests = work / f"requests-{args.server}-{args.rows}.jsonl"
        if not self.requests.exists():
            run = work / f"emitting-{args.server}-{args.rows}"
            salted = [] if self.stub else SALTED
            flawscribe(
                "describe",
                self._manifest(args.rows),
                "-o",
                str(run),
                "--emit-batch",
                str(self.requests),
                *salted,
            )

    def _manifest(self, rows: int) -> str:
        path = self._scenes / f"first-{rows}.jsonl"
        path.write_text("".join(self._lines[:rows]))
        return str(path)

    def client(
        self, name: str, words: list[str], in_flight: int, rows: int, python: str = sys.executable
    ) -> None:
        """Run one of bench_clients.py and keep what it measured."""
        self._n += 1
        salt = [] if self.stub else ["--salt", f"{os.getpid()}-{self._n}"]
        shared = ["--url", self.url, "--requests", str(self.requests), "--rows", str(rows)]
        program = [python, str(HERE / "bench_clients.py"), *words, *shared, "--in-flight", str(in_flight)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or python == sys.executable}
        self._stats()
        done = subprocess.run([*program, *salt], env=environment, capture_output=True, text=True)
        if done.returncode:
            self._note(f"{name}: failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
            return
        found = json.loads(done.stdout.splitlines()[-1])
        if "missing" in found:
            self._note(f"{name}: {found['missing']}")
            return
        if found["ok"] != found["rows"]:
            self._note(f"{name}, {in_flight} in flight: {found['rows'] - found['ok']} requests failed")
        stats = self._stats()
        if name == "ceiling" and stats:
            self.stub_costs.append(1e6 * stats["cpu"] / stats["requests"])
        most = int(stats.get("most", 0))
        self._keep(name, in_flight, Run(found["rows"], found["seconds"], found["cpu"], found["peak"], most))

    def flawscribe(self, in_flight: int, rows: int) -> None:
        """Run flawscribe on one row and on all, and keep the difference: the first request goes alone."""
        words = ["--base-url", self.url, "--window", str(in_flight), "--timeout", "600"]
        alone, all_of_them = (self._described(words, n) for n in (1, rows))
        self.starts.append((alone[0].seconds + alone[1], alone[0].cpu))
        run = all_of_them[0]
        seconds, cpu = run.seconds - alone[0].seconds, run.cpu - alone[0].cpu
        self._keep("flawscribe", in_flight, Run(rows - 1, seconds, cpu, run.peak, run.most))

    def in_process(self, rows: int) -> None:
        """flawscribe with the model in its own processes: from its first request to its last row."""
        run, loading = self._described(["--engine", "vllm"], rows)
        self._note(f"in process: {loading:.0f} s to load the model are not counted")
        self._keep("in process", 0, Run(rows, run.seconds, 0.0, 0.0))

    def _described(self, how: list[str], rows: int) -> tuple[Run, float]:
        """A whole process: seconds from the first request to its end, and those before."""
        self._n += 1
        out = self.work / f"run-{os.getpid()}-{self._n}"
        words = ["describe", self._manifest(rows), "-o", str(out), "--json", *how]
        if "--base-url" in how and not self.stub:
            words += ["--param", f"cache_salt={os.getpid()}-{self._n}"]
        self._stats()
        began = asking = time.perf_counter()
        said = []
        with tempfile.TemporaryFile() as figures:
            process = subprocess.Popen([*FLAWSCRIBE, *words], stdout=figures, stderr=subprocess.PIPE)
            assert process.stderr is not None
            try:
                for line in process.stderr:
                    said.append(line)
                    if line.startswith((b"openai:", b"vllm:")):  # said as the first request is about to go
                        asking = time.perf_counter()
            except KeyboardInterrupt:
                process.kill()
                raise
            _, status, used = os.wait4(process.pid, 0)
            ended = time.perf_counter()
            process.returncode = os.waitstatus_to_exitcode(status)
            figures.seek(0)
            printed = figures.read()
        if process.returncode not in (0, 1):
            raise SystemExit(f"flawscribe failed ({process.returncode}): {b''.join(said).decode()[-800:]}")
        found = json.loads(printed)
        if found["failed"] or found["account"]["calls"] != rows:
            told = f"{found['account']['calls']} calls for {rows} rows, failed: {found['failures'] or 'none'}"
            self._note(f"flawscribe {' '.join(how)}: {told}")
        most = int(self._stats().get("most", 0))
        shutil.rmtree(out)
        cpu = used.ru_utime + used.ru_stime
        return Run(rows, ended - asking, cpu, used.ru_maxrss / 1024, most), asking - began

    def run_batch(self, rows: int, flags: list[str]) -> None:
        """vLLM's own runner, which loads the model itself: from when it reads the requests to its last answer."""
        source, out = self.work / "batch-in.jsonl", self.work / "batch-out.jsonl"
        with self.requests.open() as lines:
            source.write_text("".join(line for line, _ in zip(lines, range(rows), strict=False)))
        out.unlink(missing_ok=True)
        words = ["vllm.entrypoints.openai.run_batch", "-i", str(source), "-o", str(out), *flags]
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
            },
        )
        assert process.stdout is not None
        reading, said = 0.0, []
        for line in process.stdout:
            said.append(line)
            if b"Reading batch from" in line:
                reading = time.time()
                self._note(
                    f"run_batch: {time.perf_counter() - began:.0f} s to load the model are not counted"
                )
        process.wait()
        if process.returncode or not out.exists() or not reading:
            self._note(f"run_batch: failed ({process.returncode}): {b''.join(said[-3:]).decode()[-300:]}")
            return
        failed = sum(json.loads(line)["response"]["status_code"] != 200 for line in out.open())
        if failed:
            self._note(f"run_batch: {failed} requests failed")
        self._keep("run_batch", 0, Run(rows, out.stat().st_mtime - reading, 0.0, 0.0))

    def _keep(self, name: str, in_flight: int, run: Run) -> None:
        self.runs[name, in_flight].append(run)
        told = f"{name}, {in_flight or 'all'} in flight: {run.rate:.1f} rows/s, {run.cost:.0f} us a row"
        print(told, file=sys.stderr, flush=True)

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)
            print(line, file=sys.stderr, flush=True)

    def _stats(self) -> dict[str, Any]:
        """What the stub has done since this was last asked; nothing of a real server."""
        if not self.stub:
            return {}
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats") as answer:
            found: dict[str, Any] = json.load(answer)
        return found


def flawscribe(*words: str) -> None:
    """Run flawscribe where only its doing matters."""
    done = subprocess.run([*FLAWSCRIBE, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"flawscribe {words[0]} failed: {done.stderr[-800:]}")


@contextmanager
def stub(args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """The stub's address while it runs."""
    words = [sys.executable, str(HERE / "bench_stub.py"), "--delay", str(args.delay)]
    words += ["--no-logprobs"] if args.no_logprobs else []
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1", []
    finally:
        process.terminate()
        process.wait()


@contextmanager
def vllm() -> Iterator[tuple[str, list[str]]]:
    """The address of vLLM with nano, as `flawscribe serve nano` starts it; the flags that its batch runner needs."""
    from engines.serve import HOST, Server, check_installed, command, engine_arguments, environment, free_port
    from flawscribe.models import resolve_model

    check_installed()
    port, found, model = free_port(0), engine_arguments("nano"), resolve_model("nano")
    words = command(model, found, port, ["nano"], more=["--mm-processor-cache-gb", "0"])
    flags = words[words.index("--served-model-name") :]
    if "--model" not in flags:
        flags += ["--model", model.path]
    flags = [flag for flag in flags if flag != "--enable-prompt-tokens-details"]
    server = Server(words, environment(found), port)
    try:
        server.wait_until_up(lambda _: None)
        yield f"http://{HOST}:{port}/v1", flags
    finally:
        server.stop()
        server.log.unlink()


def best_in_flight(bench: Bench, choices: list[int]) -> int:
    """Where the ceiling is highest, of which the runs are then forgotten; the first one warms the server."""
    bench.client("ceiling", ["ceiling"], choices[-1], min(64, bench.args.rows))
    bench.runs.clear()
    for in_flight in choices:
        bench.client("ceiling", ["ceiling"], in_flight, bench.args.rows)
    rates = {in_flight: runs[0].rate for (_, in_flight), runs in bench.runs.items()}
    told = ", ".join(f"{rate:.1f} at {in_flight}" for in_flight, rate in rates.items())
    best = max(rates, key=rates.__getitem__)
    bench.notes.append(f"the ceiling's rows/s, once each: {told}; the table is at {best}")
    bench.runs.clear()
    return best


def measure(bench: Bench, in_flight: list[int], flags: list[str]) -> None:
    """All clients in turn, each repeat in the other order."""
    args = bench.args
    slow = args.rows if not bench.stub else min(args.rows, 1024)
    jobs = []
    for n in in_flight:
        jobs.append(("ceiling", lambda n=n: bench.client("ceiling", ["ceiling"], n, args.rows)))
        jobs.append(("flawscribe", lambda n=n: bench.flawscribe(n, args.rows)))
    jobs.append(("one by one", lambda: bench.client("one by one", ["openai"], 1, max(1, slow // 8))))
    jobs.append(("32 threads", lambda: bench.client("32 threads", ["openai"], 32, slow)))
    inspects = in_flight[0]
    python = args.inspect_python
    jobs.append(
        ("inspect_ai", lambda: bench.client("inspect_ai", ["inspect"], inspects, min(slow, 512), python))
    )
    if flags:
        jobs.append(("run_batch", lambda: bench.run_batch(args.rows, flags)))
        jobs.append(("in process", lambda: bench.in_process(args.rows)))
    try:
        for repeat in range(args.repeats):
            for name, job in jobs if repeat % 2 == 0 else reversed(jobs):
                if name in args.clients:
                    job()
    except KeyboardInterrupt:
        bench.notes.append("stopped early: some have fewer runs")


def table(bench: Bench) -> Iterator[str]:
    """The table's lines."""
    middle = statistics.median
    head = f"{'':<12}{'in flight':>10}{'rows/s':>9}{'of (a)':>8}{'CPU us/row':>12}{'x (a)':>7}{'peak MB':>9}"
    yield head + (f"{'sockets':>9}" if bench.stub else "")
    order = sorted(bench.runs, key=lambda key: (ORDER.index(key[0]) > 1, key[1], ORDER.index(key[0])))
    base = min((n for name, n in order if name == "ceiling"), default=None)
    if base is None:
        yield from ["no ceiling was measured", *bench.notes]
        return
    for name, n in order:
        runs = bench.runs[name, n]
        beside = bench.runs.get(("ceiling", n)) or bench.runs["ceiling", base]
        rate, cost = middle(r.rate for r in runs), middle(r.cost for r in runs)
        line = f"{name:<12}{n or 'all':>10}{rate:>9.1f}{rate / middle(r.rate for r in beside):>8.2f}"
        if cost:
            ratio = cost / middle(r.cost for r in beside)
            line += f"{cost:>12.0f}{ratio:>7.2f}{max(r.peak for r in runs):>9.0f}"
        yield line + (f"{max(r.most for r in runs):>9}" if bench.stub else "")
    yield ""
    for name, n in order:
        if name == "flawscribe":
            pairs = list(zip(bench.runs[name, n], bench.runs["ceiling", n], strict=False))
            for what, ratios in (
                ("rows/s", [b.rate / a.rate for b, a in pairs]),
                ("CPU a row", [b.cost / a.cost for b, a in pairs]),
            ):
                found = bootstrap(lambda values: float(statistics.median(values)), ratios)
                told = f"{found.value:.3f}" + (f" [{found.low:.3f}, {found.high:.3f}]" if found.low else "")
                yield f"flawscribe / ceiling at {n}, {what}: {told}, median of {len(pairs)} pairs"
    if bench.starts:
        seconds, cpu = (middle(values) for values in zip(*bench.starts, strict=True))
        yield f"flawscribe's start and end, with one row: {seconds:.1f} s, {cpu:.1f} s of CPU; not in the table"
    if bench.stub_costs:
        cost = middle(bench.stub_costs)
        yield f"the stub: {cost:.0f} us of CPU an answer, so at most {1e6 / cost:.0f} rows/s on a core of its own"
    yield from bench.notes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=("stub", "vllm"), required=True)
    parser.add_argument("--rows", type=int, default=2048, help="pictures a run (default 2048)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each client (default 3)")
    parser.add_argument("--in-flight", type=int, nargs="+", help="stub: 64 256 1024 4096; vllm: 8 16 32 64")
    parser.add_argument("--clients", nargs="+", choices=ORDER, default=ORDER, help="which (default all)")
    parser.add_argument(
        "--delay", type=float, default=0.05, help="the stub's seconds an answer (default 0.05)"
    )
    parser.add_argument(
        "--no-logprobs", action="store_true", help="the stub answers without log-probabilities"
    )
    parser.add_argument("--inspect-python", default=sys.executable, help="a Python that has inspect_ai")
    parser.add_argument("--work", type=Path, help="a folder to keep pictures and requests in")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way the table is of what there is
    choices = args.in_flight or ([64, 256, 1024, 4096] if args.server == "stub" else [8, 16, 32, 64])
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        with stub(args) if args.server == "stub" else vllm() as (url, flags):
            bench = Bench(args, work, url)
            if not bench.stub:
                choices = [best_in_flight(bench, choices)]
            measure(bench, choices, flags)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    few = min(map(len, bench.runs.values()), default=0)
    print(
        f"{args.server}, {args.rows} scenes of 128 px, medians of {few}, {os.cpu_count()} cores, load {load}\n"
    )
    print("\n".join(table(bench)))


if __name__ == "__main__":
    main()
