"""What is shipped: a wheel and an sdist that hold what they should and nothing else, and work on their own."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
WEIGHTS = {f"nano/weights/{model}/model.safetensors" for model in ("head", "vlm")}
ARMS = ("clean", "anomaly", "AA", "AB", "BA", "BB")


def index_answers() -> bool:
    ask = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--reinstall",
        "--no-cache",
        "--no-deps",
        "setuptools",
    ]
    return (
        Path(UV).exists() and subprocess.run(ask, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    )


pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Built from what git knows, so that nothing that lies about gets in."""
    if not index_answers():
        pytest.skip("no uv here, or no package index answers")
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "dist"))
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    subprocess.run([UV, "build", "--quiet", "--out-dir", str(out), str(source)], check=True)
    return {path.suffix: path for path in out.iterdir() if path.suffix in (".whl", ".gz")}


def rooms() -> set[str]:
    return {p.parent.name for p in ROOT.glob("*/__init__.py")}


def data_of(names: list[str]) -> set[str]:
    return {n for n in names if not n.endswith(".py") and ".dist-info/" not in n}


def test_the_wheel_holds_the_rooms_their_data_and_the_licence(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = wheel.namelist()
    info = {n.split("/")[0] for n in names if ".dist-info/" in n}
    assert {n.split("/")[0] for n in names} == rooms() | info
    assert set(names) >= WEIGHTS
    assert any(n.endswith("licenses/LICENSE") for n in names)
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-tree",
        "-r",
        "--name-only",
        "HEAD",
        *(f"{room}/" for room in rooms()),
    ]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert data_of(names) == data_of(known)


def test_the_sdist_builds_the_same_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built[".gz"]) as sdist:
        names = {n.partition("/")[2] for n in sdist.getnames()}
        sdist.extractall(tmp_path, filter="data")
    assert {"LICENSE", "README.md", "pyproject.toml", *WEIGHTS} <= names
    assert not any(Path(n).suffix in {".pyc", ".pt", ".pth", ".pkl"} for n in names)
    (source,) = tmp_path.iterdir()
    out = tmp_path / "out"
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", str(out), str(source)], check=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as again, zipfile.ZipFile(built[".whl"]) as wheel:
        assert sorted(again.namelist()) == sorted(wheel.namelist())


def test_the_wheel_works_in_an_empty_environment(built: dict[str, Path], tmp_path: Path) -> None:
    """The base install, without torch: scenes, imported answers and masks, the report and exports work."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    install = [UV, "pip", "install", "--quiet", "--python", str(home / "bin" / "python")]
    install += ["--constraint", str(ROOT / "constraints.txt"), str(built[".whl"])]
    subprocess.run(install, check=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def flawscribe(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(home / "bin" / "flawscribe"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)

    assert flawscribe("--version").stdout.startswith("flawscribe ")
    assert flawscribe("scenes", "6", "-o", "scenes", "--pairs").returncode == 0
    needs = flawscribe("run", "scenes/manifest.jsonl", "-o", "run")
    assert needs.returncode == 3 and "pip install" in needs.stderr and "Traceback" not in needs.stderr
    ids = [json.loads(line)["id"] for line in (tmp_path / "scenes" / "manifest.jsonl").open()]
    assert len(ids) == 6 * len(ARMS)
    rows = [{"id": name, "description": "It floats." if i % 2 else None} for i, name in enumerate(ids)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = '{"Defective": false, "Description": []}'
    recorded = "".join(json.dumps({"id": name, "text": said}) + "\n" for name in ids)
    (tmp_path / "recorded.jsonl").write_text(recorded)
    replayed = ["--engine", "replay", "--replay", "recorded.jsonl"]
    assert flawscribe("describe", "scenes/manifest.jsonl", "-o", "described", *replayed).returncode == 0
    given = ["--descriptions", "answers.jsonl", "--masks", "scenes/masks"]
    done = flawscribe("run", "scenes/manifest.jsonl", "-o", "run", *given)
    assert done.returncode in (0, 1) and "gIoU" in done.stdout, done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    exported = flawscribe("export", "run", "--format", "csv", "-o", "rows.csv")
    assert exported.returncode == 0, exported.stderr
