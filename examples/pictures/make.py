"""Takes the README's pictures: serves a store of examples and an invented fortnight, and looks at it with Chromium.

    pip install -e '.[test]' && apt-get install chromium && python examples/pictures/make.py [FOLDER [STORE]]

Without a FOLDER the pictures that the README shows are replaced; with one, many more are put there. The store is made
at STORE, or in a temporary place.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from playwright.sync_api import sync_playwright

from recording import record
from tachograph import names
from tachograph.records import Event, Operation
from tachograph.server.app import create_app
from tachograph.server.listen import Server, address, listening
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect_to_read
from tachograph.store.verification import Verification, verify
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.records import Record

SECOND = 1_000_000_000
PICTURES = {
    "sessions": "/",
    "session": "/session/order-7781",
    "quickstart": "/session/quickstart",
    "audit": "/audit",
    "approvals": "/approvals",
    "totals": "/totals",
}
WIDE, NARROW = 1_280, 390
README = (("session", "light"), ("session", "dark"), ("totals", "light"))
PRICES = {"gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6), "o4-mini": (1.1, 4.4)}


class Invented:
    """Sessions of a shop's agents, as they might have been; always the same but for the day.

    Args:
        now_ns: when the last of them is.
    """

    def __init__(self, now_ns: int) -> None:
        self._chance = random.Random(7)  # noqa: S311 - no secret
        self._now = now_ns
        self._number = 0x5A0000

    def _id(self) -> str:
        self._number += 1
        return f"{self._number:016x}"

    def records(self) -> Iterator[Record]:
        """What ended."""
        for number in range(420):
            ago = self._chance.betavariate(1, 1.6) * 13 * 86_400
            for turn in range(self._chance.choice((1, 1, 3))):
                begun = self._now - round((ago + 3_600) * SECOND) + turn * 240 * SECOND
                yield from self.request(f"order-{7_300 + number}", f"user-{number % 23}", begun)
        yield from self.request("order-7781", "ada", self._now - 5_400 * SECOND)
        yield from self.request("order-7781", "ada", self._now - 180 * SECOND, asked=True)

    def request(self, session: str, user: str, begun: int, *, asked: bool = False) -> Iterator[Record]:
        """One request: a manager and those it hands over to."""
        shared = {"session_id": session, "user_id": user, "correlation_id": self._id() * 2}
        chance, at = self._chance, begun
        manager = self._id()
        fails = not chance.randrange(16) and session != "order-7781"
        yield self.model(manager, "manager", "gpt-4.1", at, shared)
        at += 2 * SECOND
        for agent, model, tools in (
            ("researcher", "gpt-4.1-mini", ("search_orders", "read_page", "read_page")),
            ("writer", "o4-mini", ("write_file",)),
        ):
            run, since = self._id(), at
            for tool in tools[: 2 if asked else 1] if session == "order-7781" else tools:
                yield (call := self.model(run, agent, model, at, shared))
                at = call.end_ns or at
                if tool == "write_file" and asked:
                    yield from self.decision(run, agent, tool, at, shared)
                    at += 41 * SECOND
                wrong = fails and agent == "researcher"
                yield (used := self.tool(run, agent, tool, at, shared, wrong=wrong))
                at = used.end_ns or at
            handed = {names.NESTED: True, names.SWITCH_FROM: "manager", names.SWITCH_TO: agent, names.AGENT_NAME: agent}
            yield self.operation(
                "agent", agent, since, at, shared, handed, id=run, agent="manager", parent_id=manager, **bad(fails)
            )
            if fails:
                break
        yield (call := self.model(manager, "manager", "gpt-4.1", at, shared))
        at = call.end_ns or at
        facts = {names.HANDED_UP: True} if fails else {}
        yield self.operation("agent", "manager", begun, at, shared, facts, id=manager, **bad(fails))

    def operation(
        self, kind: Any, name: str, since: int, until: int | None, shared: Any, facts: Any, **more: Any
    ) -> Operation:
        """One operation."""
        given = {"id": self._id(), "outcome": None if until is None else "ok", **shared, **more}
        return Operation(kind=kind, name=name, start_ns=since, end_ns=until, attributes=facts, **given)

    def model(self, run: str, agent: str, model: str, at: int, shared: Any, *, until: int | None = 0) -> Operation:
        """A call of a model, after what came before it."""
        chance = self._chance
        took = round(chance.lognormvariate(0.5, 0.5) * SECOND)
        read, written = chance.randrange(900, 9_000), chance.randrange(40, 700)
        cost = (read * PRICES[model][0] + written * PRICES[model][1]) / 1_000_000
        facts = {
            names.INPUT_TOKENS: read,
            names.OUTPUT_TOKENS: written,
            names.CACHED_TOKENS: read // 3,
            names.REASONING_TOKENS: written // 2 if model == "o4-mini" else 0,
            names.COST: cost,
            names.RESPONSE_TOOL_CALLS: 1,
        }
        end = None if until is None else at + 60_000_000 + took
        return self.operation(
            "model", model, at + 60_000_000, end, shared, facts if end else {}, agent=agent, parent_id=run
        )

    def tool(self, run: str, agent: str, tool: str, at: int, shared: Any, *, wrong: bool) -> Operation:
        """A call of a tool."""
        took = round(self._chance.lognormvariate(-1, 0.8) * SECOND)
        return self.operation(
            "tool",
            tool,
            at,
            at + took,
            shared,
            {names.TOOL_CALL_ID: self._id()},
            agent=agent,
            parent_id=run,
            **bad(wrong),
        )

    def decision(self, run: str, agent: str, tool: str, at: int, shared: Any) -> Iterator[Record]:
        """A human asked, and an EDIT."""
        until, call = at + 41 * SECOND, f"call_{self._id()[-4:]}"
        before = '{"path":"refunds/7781.md","mode":"overwrite","amount":"149.00 EUR"}'
        after = '{"path":"refunds/7781.md","mode":"append","amount":"129.00 EUR"}'
        facts = {
            names.TOOL_CALL_ID: call,
            names.APPROVAL_DECISION: "EDIT",
            names.APPROVAL_BY: "ada",
            names.APPROVAL_REASON: "writes files",
            names.APPROVAL_ARGUMENTS: before,
            names.APPROVAL_EDITED: after,
            names.HUMAN_WAIT: True,
        }
        asked = self.operation("approval", tool, at, until, shared, facts, agent=agent, parent_id=run)
        yield asked
        changed = {"mode": {"from": "overwrite", "to": "append"}, "amount": {"from": "149.00 EUR", "to": "129.00 EUR"}}
        payload = {
            "tool_name": tool,
            "call_id": call,
            "decision": "EDIT",
            "decided_by": "ada",
            "changes": {"changed": changed},
        }
        decided = "hitl_decision_made"
        yield Event(f"{asked.id}:{decided}", decided, timestamp_ns=until, span_id=run, payload=payload, **shared)

    def under_way(self) -> list[Operation]:
        """What has not ended: a request at work, a call that hangs, a question to a human."""
        now, found = self._now, []
        for session, agent, model, ago in (
            ("order-7790", "researcher", "gpt-4.1-mini", 4),
            ("order-7788", "writer", "o4-mini", 312),
        ):
            shared = {"session_id": session, "user_id": "grace", "correlation_id": self._id() * 2}
            run = self.operation("agent", agent, now - (ago + 6) * SECOND, None, shared, {names.AGENT_NAME: agent})
            found += [run, self.model(run.id, agent, model, now - ago * SECOND, shared, until=None)]
        shared = {"session_id": "order-7781", "user_id": "ada", "correlation_id": self._id() * 2}
        facts = {
            names.TOOL_CALL_ID: "call_9f3c",
            names.APPROVAL_REASON: "pays money back",
            names.APPROVAL_ARGUMENTS: '{"order":"7781","amount":"129.00 EUR","to":"the card it was paid with"}',
        }
        found.append(self.operation("approval", "refund", now - 95 * SECOND, None, shared, facts, agent="writer"))
        return found


def bad(fails: bool) -> dict[str, Any]:  # noqa: FBT001 - one word of a call
    """How what fails ends."""
    said = "no answer from the order service within 30 s"
    return {"outcome": "error", "error_type": "TimeoutError", "error_message": said} if fails else {}


def made(path: Path) -> Writer:
    """A store with the examples and the invented sessions in it; its writer lives on, as what is under way does."""
    for program in ("agent_runtime/run.py", "sop_agents/run.py"):
        record(HERE.parent / program, path)
    quickstart = [sys.executable, str(HERE.parent / "quickstart.py")]
    environ = {**os.environ, "TACHOGRAPH_STORE": str(path)}
    subprocess.run(quickstart, env=environ, cwd=path.parent, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own program
    invented = Invented(time.time_ns())
    writer = Writer(path)
    writer.append(sorted(invented.records(), key=lambda one: getattr(one, "end_ns", 0) or one[4]), invented.under_way())
    return writer


def checked(path: Path) -> Verification:
    """What there is to say of the store's audit chains."""
    with contextlib.closing(connect_to_read(path)) as db:
        return verify(db)


def take(url: str, folder: Path, wanted: dict[str, list[tuple[str, int]]]) -> None:
    """Take pictures: of each page by name in these themes and widths."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, ways in wanted.items():
            for theme, width in ways:
                page = browser.new_page(
                    viewport={"width": width, "height": 980},
                    color_scheme=theme,  # type: ignore[arg-type] # one of its words
                    device_scale_factor=2 if width == NARROW else 1,
                )
                page.goto(url + PICTURES[name])
                page.wait_for_selector("#live:not([hidden])")
                if name == "audit" and page.get_by_role("button", name="Check now").count():
                    page.get_by_role("button", name="Check now").click()
                    page.wait_for_selector(".check.whole")
                page.wait_for_timeout(1_500)
                file = f"{name}-{theme}{'-phone' if width == NARROW else ''}.png"
                page.screenshot(path=folder / file, full_page=width == NARROW)
                page.close()
        browser.close()


def main(folder: Path | None, place: Path | None) -> None:
    """Make, serve, take."""
    with tempfile.TemporaryDirectory() as temporary:
        path = place or Path(temporary) / "shop.db"
        writer = made(path)
        source = SqliteSource(path)
        with listening("127.0.0.1", 0) as listener:
            server = Server(create_app(source, verify=lambda: checked(path)))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            wanted: dict[str, list[tuple[str, int]]]
            if folder is None:
                wanted = {name: [] for name, _ in README}
                for name, theme in README:
                    wanted[name].append((theme, WIDE))
            else:
                wanted = {
                    name: [(theme, width) for width in (WIDE, NARROW) for theme in ("light", "dark")]
                    for name in PICTURES
                }
            try:
                take(address(listener, "127.0.0.1"), folder or HERE, wanted)
            finally:
                server.should_exit = True
                thread.join()
        source.close()
        writer.close()


if __name__ == "__main__":
    main(*(Path(given) for given in [*sys.argv[1:3]]), *[None] * (2 - len(sys.argv[1:3])))
