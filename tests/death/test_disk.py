"""Disks that fill up or cannot be written to, real ones: small file systems in a namespace of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from flawscribe.runs import Run

DEMO = Path(__file__).parents[2] / "demo" / "manifest.jsonl"
ALLOWED = subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ALLOWED, reason="no file systems can be mounted here"),
]


def shell(folder: Path, *lines: str) -> "subprocess.CompletedProcess[str]":
    """Run lines of shell where `$disk` can be mounted over, `flawscribe` is there, and what is in `$kept` is kept."""
    for name in ("disk", "kept"):
        (folder / name).mkdir()
    head = [f"disk={folder / 'disk'} kept={folder / 'kept'} demo={DEMO}", "tell() { echo code $? >&2; }"]
    head += [f'flawscribe() {{ {sys.executable} -m flawscribe.cli "$@" > $kept/told; }}']
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", "\n".join([*head, *lines])],
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.parametrize("kilobytes", [4, 40])
def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path, kilobytes: int) -> None:
    done = shell(
        tmp_path,
        f"mount -t tmpfs -o size={kilobytes}k tmpfs $disk",
        "flawscribe run $demo -o $disk/run --engine transformers",
        "tell",
        "mount -o remount,size=64m $disk",
        "flawscribe run $demo -o $disk/run --engine transformers",
        "tell",
        "cp -r $disk/run $kept/run",
    )
    assert "Traceback" not in done.stderr
    first, _, second = done.stderr.partition("code 3\n")
    assert "No space left on device" in first.splitlines()[-1], done.stderr
    assert second.endswith("code 0\n"), done.stderr
    run = Run.open(tmp_path / "kept" / "run")
    for stage in ("describe", "segment"):
        rows = run.latest(stage)
        assert len(rows) == 16 and all(row.ok for row in rows.values())
    assert (run.path / "report.html").stat().st_size > 10_000


def test_a_read_only_run_can_be_read(tmp_path: Path) -> None:
    """It cannot be gone on with, in one line; but its figures and its rows can be had elsewhere."""
    done = shell(
        tmp_path,
        "mount -t tmpfs tmpfs $disk",
        "flawscribe run $demo -o $disk/run --engine transformers; tell",
        "mount -o remount,ro $disk",
        "flawscribe run $demo -o $disk/run --engine transformers; tell",
        "flawscribe run $demo -o $disk/other --engine transformers; tell",
        "flawscribe report $disk/run; tell",
        "flawscribe export $disk/run --format jsonl -o $kept/rows.jsonl; tell",
    )
    assert "Traceback" not in done.stderr
    codes = [line for line in done.stderr.splitlines() if line.startswith("code")]
    assert codes == ["code 0", "code 3", "code 3", "code 3", "code 0"], done.stderr
    assert done.stderr.count("Read-only file system") == 3, done.stderr
    assert len((tmp_path / "kept" / "rows.jsonl").read_text().splitlines()) == 16


def test_two_commands_on_one_run(tmp_path: Path) -> None:
    """The second one is told that the first is there, and takes nothing from it."""
    command = [sys.executable, "-m", "flawscribe.cli", "run", str(DEMO), "-o", str(tmp_path / "run")]
    both = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], told
    assert "another process is working" in told[codes.index(2)] and "Traceback" not in told[codes.index(2)]
    rows = list(Run.open(tmp_path / "run").rows("describe"))
    assert len(rows) == len({row.id for row in rows}) == 16 and all(row.ok for row in rows)
