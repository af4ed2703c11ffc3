"""The command line: quick, and one line where something is wrong."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flawscribe.cli import VERBS, main
from flawscribe.errors import SetupError, UserError
from flawscribe.models_command import models_command

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "aiohttp",
    "openai",
    "pydantic",
    "numpy",
    "sklearn",
    "matplotlib",
    "pyarrow",
    "PIL",
)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the command line with these arguments."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["flawscribe", *args])
        main()
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom flawscribe.cli import main\nsys.argv = ['flawscribe', '--help']\n"
        f"try: main()\nfinally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    assert all(verb in ended.stdout for verb in VERBS)


def test_importing_the_package_is_light() -> None:
    code = f"import sys, flawscribe; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_home_and_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"flawscribe {verb}" in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import flawscribe

    assert run(capsys, "--version") == (0, f"flawscribe {flawscribe.__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("discribe",), "Did you mean 'describe'?"),
        (("describe", "--modell", "nano"), "--modell"),
        (("describe",), "INPUT"),
        (("--nonsense",), "--nonsense"),
        (("describe", "/nowhere/at/all.jsonl", "-o", "run"), "does not exist"),
        (("describe", "/nowhere/at/all.jsonl"), "-o"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    args: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("wrong\nargument"), 2, "wrong argument"),
        (SetupError("no server"), 3, "no server"),
        (PermissionError(13, "Permission denied", "/root/run"), 3, "/root/run: Permission denied"),
        (OSError(28, "No space left on device"), 3, "No space left"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 3, "flawscribe[torch]"),
        (KeyboardInterrupt(), 130, "goes on where it stopped"),
        (MemoryError(), 3, "out of memory"),
        (ZeroDivisionError("by\nnothing"), 4, "by nothing; run the command again with --debug"),
        (ModuleNotFoundError("No module named 'flawscribe.x'", name="flawscribe.x"), 4, "flawscribe.x"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    error: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(models_command, "callback", lambda **_: fail())
    ended, out, err = run(capsys, "models")
    assert (ended, out) == (code, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1


def test_steering_characters_are_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise UserError("no \x1b[31mred\u202e file\x07")

    monkeypatch.setattr(models_command, "callback", lambda **_: fail())
    assert run(capsys, "models")[2] == "flawscribe: no [U+001B][31mred[U+202E] file[U+0007]\n"


@pytest.mark.parametrize("stderr", ["2>&1 >/dev/null | true", "2>&-"])
def test_without_a_reader_of_messages_the_work_goes_on(tmp_path: Path, stderr: str) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "a.png")
    rows = [
        {"id": "a.png", "description": "An odd hand."},
        {"id": "b", "description": ""},
    ]  # one to be told of
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = f"{sys.executable} -m flawscribe.cli describe pictures -o run --descriptions d.jsonl {stderr}"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "run" / "describe.parquet").exists()


def test_ctrl_c_while_python_imports_shows_no_traceback() -> None:
    code = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            print("importing", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Slow())
from flawscribe.start import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout and process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "" and process.returncode == -signal.SIGINT


@pytest.mark.parametrize("args", [("models", "--debug"), ("--debug", "models")])
def test_debug_shows_the_traceback_before_the_line(
    args: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(models_command, "callback", lambda **_: fail())
    code, out, err = run(capsys, *args)
    assert (code, out) == (4, "")
    assert err.startswith("Traceback") and "in fail" in err
    assert err.splitlines()[-1].startswith("flawscribe: a mistake of ours: ZeroDivisionError: by nothing;")


def test_json_is_all_that_stands_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "models", "--json")
    assert code == 0
    assert json.loads(out)


def test_a_reader_that_stops_reading_is_no_error() -> None:
    script = Path(sys.executable).with_name("flawscribe")
    ended = subprocess.run(f"{script} --help | head -c 1", shell=True, capture_output=True)
    assert ended.stderr == b""
