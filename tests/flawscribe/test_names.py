"""Our top-level names are ours alone: a room called like somebody's package would shadow it, or be shadowed."""

import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rooms() -> set[str]:
    """Top-level packages of the repository."""
    return {p.parent.name for p in ROOT.glob("*/__init__.py")}


def test_no_other_installed_package_owns_one_of_our_names() -> None:
    owners = metadata.packages_distributions()
    taken = {name: set(owners.get(name, ())) - {"flawscribe"} for name in rooms()}
    assert {name: who for name, who in taken.items() if who} == {}


def test_every_room_is_packaged_checked_and_stands_on_a_floor() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packaged = {name.rstrip("*") for name in project["setuptools"]["packages"]["find"]["include"]}
    floors = project["importlinter"]["contracts"][0]["layers"]
    assert packaged == rooms()
    assert set(project["mypy"]["packages"]) == rooms()
    assert set(project["importlinter"]["root_packages"]) == rooms()
    assert {room.strip() for floor in floors for room in floor.split("|")} == rooms()
