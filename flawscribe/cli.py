"""The command line: each verb is named with its home and imported only when it is called."""

import contextlib
import importlib
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any, TextIO, cast

import click

from flawscribe.errors import INTERNAL, SETUP, USAGE, UserError, did_you_mean, one_line
from flawscribe.secrets import blotted

VERBS: dict[str, tuple[str, str]] = {
    "run": ("report.run_command:run", "Describe, mark, judge and report: the whole job."),
    "describe": ("describe.command:describe", "Say what is wrong with each image."),
    "calibrate": (
        "describe.calibrate_command:calibrate",
        "Fit P(defective) and its threshold to golden labels.",
    ),
    "segment": ("segment.command:segment", "Mark where each image is defective."),
    "train": ("segment.train_command:train", "Train the mask head on annotated images."),
    "judge": ("judge.command:judge", "Score descriptions against golden ones."),
    "report": ("report.command:report", "Evaluate a run and write its HTML report."),
    "metrics": (
        "report.metrics_command:metrics",
        "Compare folders of predicted masks or heatmaps with golden ones.",
    ),
    "export": ("report.export_command:export", "Write one row a sample: JSONL, CSV, Parquet or COCO."),
    "import": (
        "segment.importers.command:import_command",
        "Turn a public data set's format into a manifest with masks.",
    ),
    "scenes": ("scenes.command:scenes", "Draw pictures with exactly known defects."),
    "serve": ("engines.serve_command:serve", "Serve a model with vLLM on this machine."),
    "models": ("flawscribe.models_command:models_command", "List the models that can be named."),
}
EPILOG = """
\b
Examples:
  flawscribe run images/ -o run/
  flawscribe run manifest.jsonl -o run/ --model Qwen/Qwen3-VL-4B-Instruct
  flawscribe scenes 100 -o drawn/ && flawscribe run drawn/manifest.jsonl -o run/
\b
Exit codes: 0 all rows ok, 1 some rows failed, 2 wrong usage, 3 something is missing or
refuses, 4 a mistake of flawscribe's own (--debug shows where), 130 interrupted, 143 terminated.
"""
INTERRUPTED, TERMINATED = 130, 143

_EXTRAS = {
    "torch": "torch",
    "torchvision": "torch",
    "transformers": "torch",
    "safetensors": "torch",
    "accelerate": "torch",
    "vllm": "vllm",
    "aiohttp": "judge",
    "ray": "ray",
    "segment_anything": "sam",
    "google_crc32c": "import",
}
"""Packages that the base install does without, and the extra that brings them."""


def _debug(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.ensure_object(set).add("debug")


_DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_debug,
    help="Show errors' tracebacks.",
)


class Verbs(click.Group):
    """A click group that knows its verbs by name alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the job."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a verb's home."""
        if name not in VERBS:
            raise click.UsageError(f"no verb {name!r}.{did_you_mean(name, VERBS)}")
        module, attribute = VERBS[name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        parts = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *parts):
            if _DEBUG not in one.params:
                one.params.append(_DEBUG)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing one."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"flawscribe {version('flawscribe')}")
        ctx.exit()


@click.group(
    cls=Verbs, params=[_DEBUG], epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
)
def cli() -> None:
    """Tells what is wrong with AI-generated images: whether, what, where and how badly."""


def main() -> None:
    """The console script: whatever ends it early is one line and an exit code."""
    wanted: set[str] = set()  # "debug", and "terminated" where SIGTERM came

    def terminate(number: int, frame: FrameType | None) -> None:
        wanted.add("terminated")
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)  # whoever handles Ctrl-C handles this
        else:  # a shell's background job: Ctrl-C is not for it
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    with contextlib.redirect_stderr(cast(TextIO, _Patient(sys.stderr))):
        try:
            code = cli.main(prog_name="flawscribe", standalone_mode=False, obj=wanted)
        except (Exception, KeyboardInterrupt) as e:
            if "debug" in wanted:
                traceback.print_exc()
            code = _ended(e, "terminated" in wanted)
    sys.exit(code if isinstance(code, int) else 0)


class _Patient:
    """stderr whose reader may go, or never was: what we do is worth more than what we say while we do it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as we run)

    def write(self, text: str) -> int:
        """As the stream does, or not at all."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream does, or not at all."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _ended(error: BaseException, terminated: bool) -> int:
    """Tell in one line what ended the command; the exit code."""
    match error:
        case UserError():
            return _told(str(error), error.exit_code)
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message())
            return USAGE
        case click.ClickException():
            of = error.ctx if isinstance(error, click.UsageError) else None
            return _told(
                error.format_message().rstrip(".") + (f"; see {of.command_path} --help" if of else ""), USAGE
            )
        case KeyboardInterrupt() | click.Abort():  # click makes the second of the first
            told = str(error.__cause__ or error) or "interrupted; the same command goes on where it stopped"
            return _told(told, TERMINATED if terminated else INTERRUPTED)
        case BrokenPipeError():
            sys.stderr.close()  # the reader of our output has gone: nothing is left to say
            return 0
        case ModuleNotFoundError() if _extra(error) is not None:
            return _told(
                f"this needs the package {_package(error)}: pip install 'flawscribe[{_extra(error)}]'", SETUP
            )
        case OSError():
            return _told(f"{error.filename}: {error.strerror}" if error.filename else str(error), SETUP)
        case MemoryError():
            return _told("out of memory", SETUP)
    told = one_line(f"{type(error).__name__}: {error}").rstrip(".")
    return _told(
        f"a mistake of ours: {told}; run the command again with --debug and report what it shows", INTERNAL
    )


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _extra(error: ModuleNotFoundError) -> str | None:
    """The extra that brings the missing package, None for a package that always should be there."""
    return _EXTRAS.get(_package(error))


def _told(message: str, code: int) -> int:
    click.echo("flawscribe: " + blotted(one_line(message, 4000)), err=True)
    return code


if __name__ == "__main__":
    main()
