"""The verb `serve`."""

import shlex
import sys
from pathlib import Path

import click

EPILOG = """
\b
Examples:
  flawscribe serve nano
  flawscribe serve qwen3-vl-4b --port 8001
  flawscribe serve qwen3-vl-4b --media pictures/
  flawscribe serve ./my-model --print
  flawscribe serve Qwen/Qwen3-VL-8B-Instruct -- --max-num-seqs 64 --gpu-memory-utilization 0.8
\b
The server listens on this machine alone. Ctrl-C stops it, with everything it started.
Exit codes: 2 usage, 3 it did not come up or ended by itself, 130 interrupted, 143 terminated.
"""


@click.command(epilog=EPILOG)
@click.argument("model")
@click.argument("vllm_flags", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes any."
)
@click.option(
    "--media",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder whose pictures requests may name as file:// instead of sending them.",
)
@click.option("--print", "only_print", is_flag=True, help="Print vLLM's command and start nothing.")
def serve(model: str, vllm_flags: tuple[str, ...], port: int, media: Path | None, only_print: bool) -> None:
    """Serve MODEL (packaged, a preset, a directory or a hub name) with vLLM, for `describe --base-url`.

    The GPUs' number and memory decide how the model is spread; without one it runs on the CPU. What follows
    -- goes to vLLM.
    """
    from engines.serve import HOST, Server, check_installed, command, engine_arguments, environment, free_port
    from flawscribe.models import resolve_model

    if vllm_flags and not vllm_flags[0].startswith("-"):
        raise click.UsageError(
            f"one model is served, and {vllm_flags[0]!r} is one more: start another server"
        )
    ref = resolve_model(model)
    check_installed()
    port = port if only_print else free_port(port)
    found = engine_arguments(model)
    names = list(dict.fromkeys([model if ref.kind != "directory" else ref.name, ref.name]))
    words = command(ref, found, port, names, media.resolve() if media else None, vllm_flags)
    variables = environment(found)
    if only_print:
        click.echo(shlex.join([*(f"{name}={value}" for name, value in variables.items()), *words]))
        return
    server = Server(words, variables, port)
    url = f"http://{HOST}:{port}/v1"
    try:
        click.echo(f"starting vLLM with {names[0]} ({_where(found)}); its log is {server.log}", err=True)
        server.wait_until_up(_tick)
        click.echo(f"{names[0]} is served at {url} (Ctrl-C stops it)")
        by_path = " --media file" if media else ""
        click.echo(
            f"  flawscribe describe MANIFEST -o RUN --model {shlex.quote(names[0])} --base-url {url}{by_path}"
        )
        sys.stdout.flush()
        server.wait()
    except KeyboardInterrupt:
        server.stop()
        server.log.unlink(missing_ok=True)  # it tells of nothing that went wrong
        raise KeyboardInterrupt(f"{names[0]} is no longer served at {url}") from None
    finally:
        server.stop()


def _where(found: dict[str, object]) -> str:
    if "dtype" in found:
        return "on the CPU: slow"
    copies, each = found.get("data_parallel_size", 1), found.get("tensor_parallel_size", 1)
    return f"copies: {copies}, GPUs each: {each}"


def _tick(seconds: float) -> None:
    """A line that counts the seconds on a terminal, a line every half a minute elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\rloading, {seconds:.0f} s ")
        sys.stderr.flush()
    elif int(seconds) % 30 == 29:
        click.echo(f"loading, {seconds:.0f} s", err=True)
