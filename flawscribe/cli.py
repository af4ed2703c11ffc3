"""The command line: each verb is named with its home and imported only when it is called."""

import importlib
import sys

import click

from flawscribe.errors import SETUP, USAGE, SetupError, UserError, did_you_mean

VERBS: dict[str, tuple[str, str]] = {
    "run": ("report.run_command:run", "Describe, mark, judge and report: the whole job."),
    "describe": ("describe.command:describe", "Say what is wrong with each image."),
    "segment": ("segment.command:segment", "Mark where each image is defective."),
    "judge": ("judge.command:judge", "Score descriptions against golden ones."),
    "report": ("report.command:report", "Evaluate a run and write its HTML report."),
    "export": ("report.export_command:export", "Write one row a sample: JSONL, CSV, Parquet or COCO."),
    "scenes": ("scenes.command:scenes", "Draw pictures with exactly known defects."),
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
refuses, 130 interrupted.
"""
INTERRUPTED = 130

_EXTRAS = {
    "torch": "torch",
    "torchvision": "torch",
    "transformers": "torch",
    "safetensors": "torch",
    "vllm": "vllm",
    "openai": "judge",
    "segment_anything": "sam",
}
"""Packages that the base install does without, and the extra that brings them."""


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


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
)
def cli() -> None:
    """Tells what is wrong with AI-generated images: whether, what, where and how badly."""


def main() -> None:
    """The console script: errors that a user can mend are one line and an exit code."""
    try:
        code = cli.main(prog_name="flawscribe", standalone_mode=False)
    except UserError as e:
        code = _told(str(e), e.exit_code)
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message())
        code = USAGE
    except click.ClickException as e:
        where = f"; see {e.ctx.command_path} --help" if isinstance(e, click.UsageError) and e.ctx else ""
        code = _told(e.format_message().rstrip(".") + where, USAGE)
    except (KeyboardInterrupt, click.Abort) as e:  # click makes the second of the first
        told = str(e.__cause__ or e) or "interrupted; the same command goes on where it stopped"
        code = _told(told, INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing is left to say
        code = 0
    except ModuleNotFoundError as e:
        missing = _missing(e)
        code = _told(str(missing), missing.exit_code)
    except OSError as e:
        code = _told(f"{e.filename}: {e.strerror}" if e.filename else str(e), SETUP)
    sys.exit(code if isinstance(code, int) else 0)


def _missing(error: ModuleNotFoundError) -> SetupError:
    """What to say of a package of an extra; any other missing module is a mistake of ours."""
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        raise error
    return SetupError(f"this needs the package {package}: pip install 'flawscribe[{_EXTRAS[package]}]'")


def _told(message: str, code: int) -> int:
    click.echo("flawscribe: " + " ".join(message.split()), err=True)
    return code


if __name__ == "__main__":
    main()
