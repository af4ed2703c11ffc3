"""The pages name only files, verbs, options, columns and kinds that are there, and show figures that are true."""

import contextlib
import io
import re
from pathlib import Path

import click
import pytest

from flawscribe.cli import VERBS, cli
from flawscribe.manifest_rows import FIELDS
from flawscribe.records import FailureKind
from report.export import COLUMNS

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")


def pages(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", paths, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def options(verb: str) -> set[str]:
    command = cli.get_command(click.Context(cli), verb)
    assert command
    parts = command.commands.values() if isinstance(command, click.Group) else ()
    params = [option for one in (command, *parts) for option in one.params]
    return {name for option in params for name in option.opts} | {"--help", "-h"}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[str]:
    """What the page shows of `flawscribe VERB …`, a command each."""
    text = page.read_text(encoding="utf-8")
    shown = [line for _, block in _FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    shown += [line.partition(" #")[0] for line in re.findall(r"^    (.+)$", prose(page), re.MULTILINE)]
    shown += [" ".join(span.split()) for span in _SPAN.findall(prose(page))]
    parts = [part for line in shown for part in re.split(r"&&|\||;", line)]
    return [
        found[1]
        for part in parts
        if (found := re.match(r"\s*(?:\$ )?[\w./]*(flawscribe [a-z]+( .*)?$)", part))
    ]


@pages(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(linked), f"{target}: no such heading"


@pages(PAGES)
def test_commands_and_their_options_exist(page: Path) -> None:
    for command in commands(page):
        verb = command.split()[1]
        assert verb in VERBS, command
        ours = command.partition(" -- ")[0]  # what follows is another program's
        assert set(_OPTION.findall(ours)) <= options(verb), command


@pages(DOCS)
def test_options_in_the_text_exist(page: Path) -> None:
    known = set().union(*map(options, VERBS))
    for span in _SPAN.findall(prose(page)):
        if span.startswith("-"):
            assert set(_OPTION.findall(span)) <= known, span


def test_the_index_names_every_page() -> None:
    named = set(re.findall(r"\((\w[\w-]*\.md)\)", (ROOT / "docs/README.md").read_text(encoding="utf-8")))
    assert named == {page.name for page in DOCS} - {"README.md"}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("run-directory.md", set(FailureKind)),
        ("manifests.md", FIELDS),
        ("report.md", set(COLUMNS)),
    ],
)
def test_the_tables_name_everything(page: str, names: set[str]) -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    missing = names - {name for row in rows for name in _SPAN.findall(row)}
    assert not missing


def test_the_claims_judges_agreement_is_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _FENCE.findall((ROOT / "docs/judging.md").read_text(encoding="utf-8"))
    at = next(i for i, (language, code) in enumerate(blocks) if language == "python" and "kappa" in code)
    printed = io.StringIO()
    monkeypatch.chdir(ROOT)
    with contextlib.redirect_stdout(printed):
        exec(blocks[at][1], {})
    assert printed.getvalue() == blocks[at + 1][1]
