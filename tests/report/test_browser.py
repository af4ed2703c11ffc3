"""The report in a real Chromium: it opens from disk, works, asks for nothing, runs nothing that a stranger wrote."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from handmade import HOSTILE, YES, Builder, box, prediction, says, verdicts
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from flawscribe.records import Description, Failure, FailureKind, Golden
from report.html import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
]

# Each calls `alert`, opens an address or marks the window wherever it is taken for markup or script.
RUNNING = (
    *HOSTILE[:34],
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg><script>window.hacked=1</script></svg>",
    "<math><mi//xlink:href='data:x,<script>window.hacked=1</script>'>",
    '"><img src=//evil.example/x.png onerror=window.hacked=1>',
    "<details open ontoggle=window.hacked=1>",
    "<input autofocus onfocus=window.hacked=1>",
    "<style>*{background:url(//evil.example/x)}</style>",
    "<object data=//evil.example/x></object>",
    "<video src=//evil.example/x onerror=window.hacked=1>",
    "<a href=javascript:window.hacked=1>x</a>",
    "<template><script>window.hacked=1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.hacked=1>'>",
    "`;window.hacked=1;`",
    "';window.hacked=1;//",
    "\u2028window.hacked=1",
)


@dataclass
class Seen:
    """What the page did besides showing itself."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, report: Path) -> tuple[Page, Seen]:
    page, seen = browser.new_page(), Seen()
    page.on("console", lambda m: seen.console.append(m.text))
    page.on("pageerror", lambda e: seen.console.append(str(e)))
    page.on("request", lambda r: seen.requests.append(r.url))
    page.on("dialog", lambda d: (seen.dialogs.append(d.message), d.dismiss()))  # type: ignore[func-returns-value]
    page.goto(report.absolute().as_uri())
    page.wait_for_load_state("networkidle")
    return page, seen


def quiet(seen: Seen, report: Path) -> None:
    assert seen.console == [] and seen.dialogs == []
    outside = [url for url in seen.requests if not url.startswith("data:image/")]
    assert outside == [report.absolute().as_uri()]


def test_it_opens_filters_and_toggles(browser: Browser, small: Builder) -> None:
    report = write_report(small.run())
    page, seen = opened(browser, report)
    cards = page.locator("#cards > article")
    visible = cards.locator("visible=true")
    assert cards.count() == visible.count() == 10
    page.click("button.chip[data-outcome=miss]")
    assert visible.count() == 1 and "miss" in visible.first.inner_text()
    assert page.locator("#status").inner_text() == "1 of 1 shown"
    page.click("button.chip[data-outcome=all]")
    assert visible.count() == 10
    for toggle, mask in (("#show-golden", ".golden-mask"), ("#show-predicted", ".predicted-mask")):
        first = page.locator(mask).first
        assert first.is_visible()
        page.uncheck(toggle)
        assert not first.is_visible()
        page.check(toggle)
        assert first.is_visible()
    blanked = page.locator(".blanked-mask").first
    assert not blanked.is_visible()
    page.check("#show-blanked")
    assert blanked.is_visible()
    page.locator("#cards img").last.scroll_into_view_if_needed()
    widths = page.eval_on_selector_all(
        "#cards img",
        "all => Promise.all(all.map(i => { i.loading = 'eager'; return i.decode().then(() => i.naturalWidth); }))",
    )
    assert widths and all(widths)
    quiet(seen, report)
    page.close()


def test_many_cards_come_by_pages(browser: Browser, build: Builder) -> None:
    for i in range(90):
        build.add(f"s{i}", None, says(i % 2 == 0, 0.5), prediction(None))
    report = write_report(build.run())
    page, seen = opened(browser, report)
    visible = page.locator("#cards > article").locator("visible=true")
    first = visible.count()
    assert 0 < first < 90
    while page.locator("#more").is_visible():
        page.click("#more")
    assert visible.count() == 90
    quiet(seen, report)
    page.close()


def test_without_scripts_everything_is_shown(browser: Browser, small: Builder) -> None:
    report = write_report(small.run())
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.absolute().as_uri())
    assert page.locator("#cards > article").locator("visible=true").count() == 10
    page.context.close()


def test_nothing_hostile_runs(browser: Browser, build: Builder) -> None:
    """Each string as prompt, description, golden text, id, generator, category, failure, file and model name."""
    for stage, name in (("describe", "model"), ("segment", "model"), ("judge", "judge")):
        build.settings[stage] = {name: "".join(RUNNING), "".join(RUNNING[34:]): RUNNING[34]}
    for i, text in enumerate(RUNNING):
        golden = Golden(defective=True, descriptions=(text, text), mask=text, category="objects")
        description = Description(defective=True, text=text, p_defective=0.5)
        details = {
            "claims": {"reference": [{"text": text}], "description": [{"text": text}]},
            "misses": [0],
            "contradictions": [text],
        }
        build.add(
            f"{i} {text}",
            golden,
            description,
            prediction(box(0, 0, 9, 9)),
            verdicts(1, 1, **details),
            prompt=text,
            generator=text,
        )
        fault = Failure(stage="describe", kind=FailureKind.TIMEOUT, message=text)
        build.add(
            f"{i} failed {text}",
            YES,
            fault,
            prediction(None),
            prompt=text,
            image=_named(build.folder, text, i),
        )
        build.bad_row(f"{i} bad {text}")
    report = write_report(build.run())
    page, seen = opened(browser, report)
    while page.locator("#more").is_visible():
        page.click("#more")
    for summary in page.locator("details > summary").all():
        summary.click()
    page.mouse.move(200, 200)
    page.mouse.wheel(0, 100_000)
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None
    assert (
        page.locator(
            "#cards script, #cards iframe, #cards object, #cards video, #cards style, #cards b.x"
        ).count()
        == 0
    )
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    shown = page.locator("#cards").inner_text()
    assert all(text in shown for text in RUNNING[34:40])
    quiet(seen, report)
    page.close()


def _named(folder: Path, text: str, number: int) -> str:
    """A picture in a file of that name, as far as a file system takes it."""
    name = "".join(c for c in text if c not in "/\0")[:60] + f" {number}.png"
    Image.new("RGB", (40, 30), "red").save(folder / "pictures" / name)
    return str(folder / "pictures" / name)
