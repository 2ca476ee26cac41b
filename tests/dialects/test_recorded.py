"""Spans that real packages have written, read in every way: each call once, as the server has billed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.dialect_programs import SPEAKERS, figures
from support.recorded_spans import recorded
from tachograph.dialects import DIALECTS
from tachograph.ledger import Ledger
from tachograph.sources.otlp import OtlpSource
from tachograph.sources.otlp.from_json import batches
from tachograph.traces import Traces

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.spans import ReadSpan


@pytest.fixture
def spans(request: Any, tmp_path: Path) -> tuple[dict[str, int], Path, list[ReadSpan]]:
    """The bill of a package's program, its file of spans, and the spans in order of their end."""
    import json  # noqa: PLC0415 - lines of the file

    bill, lines = recorded(request.param)
    file = tmp_path / "spans.jsonl"
    file.write_text(lines, "utf-8")
    read = [span for line in lines.splitlines() for batch in batches(json.loads(line)) for span in batch.spans]
    return bill, file, read


def both(name: str) -> Any:
    return pytest.param(name, name, id=name)


every = pytest.mark.parametrize(("name", "spans"), [both(name) for name in SPEAKERS], indirect=["spans"])


@every
def test_a_file_gives_the_bill(name, spans) -> None:
    """Read from a file, totals and session are those of the program."""
    bill, file, _ = spans
    source = OtlpSource(file)

    expected = figures(SPEAKERS[name], bill)
    total = source.total().to_dict()
    assert expected == {field: total[field] for field in expected}
    assert [SPEAKERS[name].session or "unattributed"] == source.sessions()
    assert source.stats()["bad"] == 0


@every
def test_as_they_come_they_give_the_bill(name, spans) -> None:
    """Taken in one by one, children first, the ledger's answer is the same, whether or not all is decided."""
    bill, _, read = spans
    ledger, traces = Ledger(), Traces()
    ledger.attend(traces.undecided)
    for span in read:
        for operation in traces.take(span):
            ledger.apply(operation)
    expected = figures(SPEAKERS[name], bill)

    early = ledger.total().to_dict()
    for operation in traces.rest():
        ledger.apply(operation)
    late = ledger.total().to_dict()

    assert early == late
    assert expected == {field: late[field] for field in expected}


@every
def test_no_content_is_read(name, spans) -> None:
    """Nothing of what was asked or answered is in any record."""
    records = " ".join(str(record) for record in OtlpSource(spans[1]).records())

    assert [] == [word for word in ("secret question", "tea", "secret") if word in records]


def test_every_dialect_has_its_words() -> None:
    """Dialects have names of their own, and attributes to be recognised by."""
    assert len({dialect.NAME for dialect in DIALECTS}) == len(DIALECTS)
    assert all(dialect.TELLING for dialect in DIALECTS)
