"""The pages in a real browser: looked at, clicked through, watched, attacked."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from scripted_llm import ScriptedLLM
from support.browser import launched, looking
from support.records import MOMENT, event, ledger_of, operation
from support.serving import serving
from support.story import STORY
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.pages.report import report
from tachograph.server import create_app
from tachograph.store.verification import Verification
from tachograph.testing import capture
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

TOKEN = "correct-horse-battery"  # noqa: S105 - of a test
EVIL = "<script>window.evil=1</script><img src=x onerror='window.evil=2'>\u202e\u2066\x1b[31m\"'><b>"
"""What would run, load, close a tag, turn around and colour, if it could."""

ASKED = {names.TOOL_CALL_ID: "call_7", names.APPROVAL_ARGUMENTS: '{"path":"a.py"}', names.APPROVAL_REASON: "writes"}
EDITED = {"changed": {"path": {"from": "a.py", "to": "b.py"}}}
RECORDS = (
    *STORY,
    operation(60, "approval", "write_file", at=91_000, took=None, outcome=None, session="chat-42", attributes=ASKED),
    event(61, "hitl_decision_made", at=92_000, session="chat-42", tool_name="read", decision="EDIT", changes=EDITED),
    *(operation(number, session=f"more-{number}", at=number) for number in range(100, 170)),
)
PAGES = ("/?search=chat", "/session/chat-42", "/session/f00d", "/audit?session_id=chat-42", "/approvals", "/totals")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all of these."""
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the story is served."""
    with serving(create_app(ledger_of(RECORDS), verify=lambda: Verification(entries=9, writers=1))) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that nothing is amiss with in the end."""
    with looking(browser) as found:
        yield found


# ------------------------------------------------------------------------------------------------------ clicked through
def test_from_the_list_to_the_approvals(page, url):
    """List, session, timeline, audit log, its check, approvals, totals: each is a click from the one before."""
    page.goto(url)
    page.get_by_role("searchbox").fill("chat")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="chat-42").click()
    assert "chat-42 · Tachograph" == page.title()
    assert "boss" in page.get_by_role("region", name="Timeline").inner_text()
    assert "b.py" in page.locator(".difference .new").inner_text()
    page.get_by_role("main").get_by_role("link", name="Audit log").click()
    page.get_by_role("row", name="agent_switched").locator("summary").click()
    page.get_by_role("row", name="agent_switched").get_by_role("link", name="On the timeline").click()
    assert "rgb(234, 237, 252)" == page.locator("tr:target").evaluate("row => getComputedStyle(row).backgroundColor")
    page.get_by_role("navigation").get_by_role("link", name="Audit log").click()
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("none changed, removed, reordered or cut").wait_for()
    page.get_by_role("link", name="Approvals 1 waiting").click()
    page.get_by_role("heading", name="write_file").wait_for()
    page.get_by_role("link", name="Totals").click()
    assert "Who hands over to whom" in page.get_by_role("main").inner_text()


def test_without_scripts(browser, url):
    """Where scripts are off links and forms do all that is needed."""
    with looking(browser, java_script_enabled=False) as page:
        page.goto(url)
        page.get_by_role("link", name="Older →").click()
        page.get_by_role("link", name="Tokens").click()
        assert ("descending", "chat-42") == (
            page.locator("th[aria-sort]").get_attribute("aria-sort"),
            page.locator("tbody .what a").first.inner_text(),
        )
        page.get_by_label("With errors").check()
        page.get_by_role("button", name="Find").click()
        assert ["chat-43"] == page.locator("tbody .what a").all_inner_texts()
        page.get_by_role("link", name="chat-43").click()
        assert "TimeoutError" in page.get_by_role("region", name="Timeline").inner_text()


def test_with_the_keyboard(page, url):
    """The first key leads past the navigation, and a session is reached by keys alone."""
    page.goto(f"{url}/?search=chat-42")
    page.keyboard.press("Tab")
    assert "Skip to content" == page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "chat-42":
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Session chat-42").wait_for()


# -------------------------------------------------------------------------------------------------------------- watched
def test_live_while_an_agent_runs(browser, monkeypatch):
    """A list and a session that are looked at while agents work come to show what they did, by themselves."""
    with (
        ScriptedLLM(script()) as llm,
        capture() as captured,
        serving(create_app(captured.ledger)) as url,
        looking(browser) as page,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", llm.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        page.goto(url)
        page.get_by_text("live", exact=True).wait_for()
        assert "No session yet" in page.get_by_role("main").inner_text()
        team = threading.Thread(target=_team)
        team.start()
        page.get_by_role("cell", name="21,826").wait_for()
        team.join(20)
        page.get_by_role("link", name="watched").click()
        page.get_by_text("live", exact=True).wait_for()
        with tachograph.session("watched"), tachograph.model("gpt-4.1") as call:
            page.get_by_role("heading", name="Under way").wait_for()
            call.usage(input_tokens=100, output_tokens=74)
        page.locator("#tiles dd", has_text="22,000").wait_for()
        page.get_by_role("heading", name="Under way").wait_for(state="hidden")


def _team() -> None:
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with tachograph.session("watched"):
        team.main()


def test_ages_tick(browser):
    """What has not ended grows older while one looks, and a call that hangs is said to."""
    now_ms = (time.time_ns() - MOMENT) / 1_000_000
    under_way = [
        operation(1, "model", "big", at=now_ms - 5_000, took=None, outcome=None),
        operation(2, "tool", "slow", at=now_ms - 90_000, took=None, outcome=None),
    ]
    with serving(create_app(ledger_of(under_way))) as url, looking(browser) as page:
        page.goto(f"{url}/session/s")
        age = page.locator("#flight li:has-text('big') time")
        first = age.inner_text()
        page.wait_for_function(
            "first => document.querySelector('#flight li time.open').textContent !== first", arg=first
        )
        assert "no end in sight" in page.locator("#flight li:has-text('slow')").inner_text()


def test_what_is_open_stays_open(browser):
    """A page that is brought up to date keeps what was opened, focused and typed."""
    ledger = ledger_of([event(1, "message_added", session="s", text="one")])
    with serving(create_app(ledger)) as url, looking(browser) as page:
        page.goto(f"{url}/audit")
        page.get_by_text("live", exact=True).wait_for()
        page.locator("summary").first.click()
        page.locator("#session").fill("half a w")
        ledger.apply(event(2, "message_added", at=10, session="s", text="two"))
        page.get_by_text("text=two").wait_for()
        assert [False, True] == page.locator("details").evaluate_all("all => all.map(one => one.open)")
        assert "half a w" == page.locator("#session").input_value()


# ------------------------------------------------------------------------------------------------------------- attacked
def hostile() -> Ledger:
    """A session in which everything that may be a text is one that would do harm."""
    huge = EVIL + "x" * 1_000_000
    said = f'[{{"role":"user","parts":[{{"type":"text","content":{_json(huge)}}}]}}]'
    facts = {names.INPUT_MESSAGES: said, names.OUTPUT_MESSAGES: EVIL, names.TOOL_CALL_ID: EVIL}
    within: dict[str, Any] = {"session": EVIL, "request": EVIL, "user_id": EVIL}
    wrong = {"outcome": "error", "error_type": EVIL, "error_message": huge}
    asked = {names.APPROVAL_ARGUMENTS: _json({EVIL: huge}), names.APPROVAL_REASON: EVIL, names.TOOL_CALL_ID: EVIL}
    changed = {"changed": {EVIL: {"from": huge, "to": EVIL}}, "added": {EVIL: [EVIL]}}
    handed = {names.NESTED: True, names.SWITCH_FROM: EVIL, names.SWITCH_TO: huge}
    return ledger_of(
        [
            operation(1, "agent", EVIL, at=0, took=900, attributes=handed, **within, **wrong),
            operation(2, "model", EVIL, at=10, took=100, parent=1, agent=EVIL, attributes=facts, **within),
            operation(
                3, "tool", huge, at=200, took=100, parent=1, attributes={names.TOOL_RESULT: huge}, **within, **wrong
            ),
            operation(4, "approval", EVIL, at=400, took=None, outcome=None, attributes=asked, **within),
            event(5, "hitl_decision_made", at=500, tool_name=EVIL, decision=EVIL, changes=changed, **within),
            event(6, "message_added", at=600, content=huge, **{EVIL: EVIL}, **within),
        ]
    )


def _json(value: Any) -> str:
    import json  # noqa: PLC0415 - of this alone

    return json.dumps(value)


def test_hostile_content(browser, tmp_path):
    """Whatever was recorded stays text: nothing runs, loads or turns around, and a megabyte is no megabyte."""
    ledger = hostile()
    file = tmp_path / "report.html"
    file.write_text(report(ledger, EVIL), "utf-8")
    with serving(create_app(ledger)) as url, looking(browser) as page:
        page.goto(url)
        link = page.locator("tbody .what a").get_attribute("href")
        for place in (url, url + link, f"{url}/audit", f"{url}/approvals", f"{url}/totals", file.as_uri()):
            page.goto(place)
            for summary in page.locator("summary").all():
                summary.click()
            content = page.content()
            assert page.evaluate("window.evil") is None
            assert page.locator("img, iframe, main script, main b").count() == 0
            assert not {"\u202e", "\u2066", "\x1b"} & {*content}
            assert len(content) < 2_000_000
            assert "<script>window.evil=1" in page.locator("body").inner_text(), place


# ------------------------------------------------------------------------------------------------------- for everybody
@pytest.mark.parametrize("path", PAGES)
def test_accessible(page, url, path):
    """The rules of accessibility that a machine can check are kept, in the light and in the dark."""
    page.goto(url + path)
    for summary in page.locator("summary").all()[:3]:
        summary.click()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert [] == _against(page), theme


def test_the_rest_is_accessible(browser, tmp_path):
    """So they are by the form that asks for the token, and by a report."""
    file = tmp_path / "report.html"
    file.write_text(report(ledger_of(RECORDS), "chat-42"), "utf-8")
    with serving(create_app(Ledger(), token=TOKEN)) as url, looking(browser) as page:
        for place in (f"{url}/login", file.as_uri()):
            page.goto(place)
            assert [] == _against(page), place


def _against(page: Page) -> list[tuple[str, str]]:
    """Which rules of axe-core a page breaks, and where."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - loads axe-core

    found = Axe().run(page).response["violations"]
    return [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"] if rule["impact"] != "minor"]


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone(browser, url, path):
    """On a phone nothing is wider than the screen but tables, which scroll by themselves."""
    with looking(browser, viewport={"width": 390, "height": 844}) as page:
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


LONG = {"session": "customer-support-conversation-0006-2026-01-17", "user_id": "firstname.lastname@example-company.com"}
CALL = {names.TOOL_CALL_ID: "call_" + "0123456789abcdef" * 2, names.APPROVAL_ARGUMENTS: '{"to":"somebody@example.com"}'}
USED = {names.INPUT_TOKENS: 123_456, names.OUTPUT_TOKENS: 4_567}


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_hide_no_figure(browser, width):
    """Names as long as programs have them push no figure out of its table, on a phone none out of the list."""
    ledger = ledger_of(
        [
            operation(1, "agent", "research_coordinator_agent", **LONG),
            operation(2, "model", "anthropic/claude-sonnet-4-5-20250929", parent=1, attributes=USED, **LONG),
            operation(3, "tool", "fetch_customer_record_by_email_address", parent=1, **LONG),
            operation(4, "approval", "send_email", took=None, outcome=None, attributes=CALL, **LONG),
        ]
    )
    with serving(create_app(ledger)) as url, looking(browser, viewport={"width": width, "height": 844}) as page:
        for path in ("/", f"/session/{LONG['session']}", "/approvals", "/totals"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            if width > 390 or path == "/":
                cut = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.id)"
                assert [] == page.locator(".scroll").evaluate_all(cut), path


def test_an_errors_text_is_read_on_a_phone(browser):
    """On a phone a long error of a model call has the width of the screen, and its figures stand above it."""
    refused = {"outcome": "error", "error_type": "BadRequestError", "error_message": "messages[2]: expected text " * 10}
    with serving(create_app(ledger_of([operation(1, attributes=USED, **refused)]))) as url:
        for width in (390, 320):
            with looking(browser, viewport={"width": width, "height": 844}) as page:
                page.goto(f"{url}/session/s")
                text, figure = page.locator(".calls .ending"), page.locator(".calls td", has_text="123,456")
                assert text.bounding_box()["width"] > 0.8 * (width - 30)
                assert figure.bounding_box()["y"] < text.bounding_box()["y"]
                assert page.locator("#calls-scroll").evaluate("one => one.scrollWidth <= one.clientWidth")


def test_huge_figures_stay_on_the_page(browser):
    """The most tokens that a call may have make no page wider than the window."""
    most = {names.INPUT_TOKENS: 10**12 - 1, names.OUTPUT_TOKENS: 10**12 - 1}
    with serving(create_app(ledger_of([operation(1, attributes=most)]))) as url, looking(browser) as page:
        for path in ("/", "/session/s", "/totals"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 1_280, path


def test_a_long_user_is_visibly_cut(browser):
    """On a phone a user with a long name is cut in the list with a sign that says so."""
    with (
        serving(create_app(ledger_of([operation(1, **LONG)]))) as url,
        looking(browser, viewport={"width": 390, "height": 844}) as page,
    ):
        page.goto(url)
        cut = page.locator(".list .by").evaluate(
            "one => [one.scrollWidth > one.clientWidth, getComputedStyle(one).textOverflow]"
        )
        assert [True, "ellipsis"] == cut


# --------------------------------------------------------------------------------------------------------- taken along
def test_a_report(browser, tmp_path):
    """A report opens from a file with nothing else there, scripts off, and prints without what only a screen needs."""
    file = tmp_path / "report.html"
    file.write_text(report(ledger_of(RECORDS), "chat-42"), "utf-8")
    with looking(browser, java_script_enabled=False, offline=True) as page:
        page.goto(Path(file).as_uri())
        assert "boss" in page.get_by_role("region", name="Timeline").inner_text()
        assert page.pdf().startswith(b"%PDF")


# ----------------------------------------------------------------------------------------------------------- locked up
def test_with_a_token(browser):
    """A browser is asked for the token once; then pages, live events and forms work, until it is told to forget."""
    app = create_app(ledger_of(RECORDS), token=TOKEN, verify=lambda: Verification(entries=9, writers=1))
    with serving(app) as url, looking(browser) as page:
        page.goto(f"{url}/session/chat-42")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Session chat-42").wait_for()
        page.get_by_text("live", exact=True).wait_for()
        page.goto(f"{url}/audit")
        page.get_by_role("button", name="Check now").click()
        page.get_by_text("none changed, removed, reordered or cut").wait_for()
        assert "" == page.evaluate("document.cookie")
        page.get_by_role("button", name="Log out").click()
        page.goto(url)
        page.get_by_label("Token").wait_for()
