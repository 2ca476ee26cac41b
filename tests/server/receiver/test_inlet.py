"""From what was sent to what is kept: in order or not, once or twice, with a store in trouble or not."""

from __future__ import annotations

import pytest

from support.otlp_files import as_messages, requests
from support.records import event, operation
from support.sent import CHAT, as_json, as_protobuf, request, span
from tachograph import names
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.server import Receiver
from tachograph.server.receiver.wire import Checked, Sent, check
from tachograph.sources.otlp import OtlpSource
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect


def put(receiver, *requests_sent):
    for sent in requests_sent:
        assert receiver.room.take(len(sent.body))
        assert receiver.put(sent, check(sent))


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def receiver(ledger):
    made = Receiver(ledger, guard=Guard(strict=True))
    yield made
    made.close()


def test_nothing_runs_before_the_first_request(receiver):
    """A receiver nobody sends anything to has no thread, and nothing to wait for."""
    assert receiver._thread is None
    assert receiver.settle()


@pytest.mark.parametrize("encoded", [as_json, as_protobuf], ids=["json", "protobuf"])
def test_what_is_put_is_kept(receiver, ledger, encoded):
    """A request becomes records, its bytes leave the room, and what came of it is counted."""
    good = span(1, {**CHAT, names.SESSION_ID: "a"})
    put(receiver, encoded(request(good, span(0, CHAT), span(2, {"other": "thing"}))))

    assert receiver.settle()
    assert (1, 110) == (ledger.session_metrics("a").total_requests, ledger.session_metrics("a").total_tokens)
    told = {"requests": 1, "spans": 2, "refused": 1, "kept": 1, "passed_over": 1, "duplicates": 0, "waiting_bytes": 0}
    assert told.items() <= receiver.stats().items()


def test_what_is_sent_again_counts_once(receiver, ledger):
    """A retry, in the same encoding or another, after the answer got lost, changes nothing."""
    document = request(*(span(number, {**CHAT, names.SESSION_ID: "a"}) for number in range(1, 4)))
    put(receiver, as_json(document), as_protobuf(document), as_json(document))

    assert receiver.settle()
    assert 3 == ledger.session_metrics("a").total_requests
    assert {"kept": 3, "duplicates": 6}.items() <= receiver.stats().items()


def test_a_session_may_come_from_many_services(receiver, ledger):
    """Its spans come in several requests, of several programs, the outermost last, and are one session."""
    call, run = span(2, CHAT, parent=1), span(1, {names.SESSION_ID: "a"})
    put(receiver, as_json(request(call, **{"service.name": "one"})))
    assert receiver.settle()
    assert 1 == receiver.stats()["waiting_spans"]
    assert 1 == ledger.session_metrics("unattributed").total_requests  # as far as is known
    put(receiver, as_protobuf(request(run, **{"service.name": "two"})))

    assert receiver.settle()
    assert (1, 0) == (ledger.session_metrics("a").total_requests, receiver.stats()["waiting_spans"])
    assert ["a"] == ledger.sessions()


@pytest.mark.parametrize("first", ["spans", "logs"])
def test_records_of_ours_come_back_as_they_were(receiver, ledger, first):
    """Operations and events that Tachograph sent are here what they were there, whichever comes first."""
    records = [
        operation(1, "agent", "manager", trace_id=f"{1:032x}"),
        operation(2, parent=1, trace_id=f"{1:032x}", attributes={names.INPUT_TOKENS: 3}),
        event(1, "agent_registered", agent_type="manager", more={"deep": [1, 0.5]}),
    ]
    messages = dict(zip(["spans", "logs"], as_messages(requests(*records)), strict=True))
    for each in sorted(messages, key=lambda name: name != first):
        put(receiver, Sent("traces" if each == "spans" else "logs", is_json=False, body=messages[each]))

    assert receiver.settle()
    assert sorted(records, key=repr) == sorted(ledger.records(), key=repr)


def test_what_waits_is_kept_at_the_end(receiver, ledger):
    """When the server stops, spans whose parent has not come are kept as they are, and nothing is put any more."""
    sent = as_json(request(span(2, CHAT, parent=1)))
    put(receiver, sent)
    receiver.close()
    receiver.close()

    assert 1 == ledger.session_metrics("unattributed").total_requests
    assert not receiver.put(sent, Checked(1))
    assert not receiver._thread.is_alive()


def test_what_goes_wrong_costs_itself_only(ledger):
    """A request that cannot be turned into records does not end the thread; those after it are kept."""
    receiver = Receiver(ledger)
    broken = Sent("traces", is_json=False, body=b"\xff")
    receiver.room.take(1)
    receiver.put(broken, Checked(1))
    put(receiver, as_json(request(span(1, {**CHAT, names.SESSION_ID: "a"}))))
    receiver.close()

    assert (1, 0) == (ledger.session_metrics("a").total_requests, receiver.stats()["waiting_bytes"])


def test_a_store_in_trouble_is_waited_for(tmp_path):
    """While the store cannot be written requests wait, and their bytes with them; then all are kept, once."""
    path = tmp_path / "store.db"
    connect(path).close()
    store = SqliteSource(path)
    receiver = Receiver(store, guard=Guard(strict=True))
    other = connect(path)
    other.execute("BEGIN EXCLUSIVE")
    sent = [as_json(request(span(number, {**CHAT, names.SESSION_ID: "a"}))) for number in (1, 2, 1)]

    put(receiver, *sent)
    assert not receiver.settle(0.5)
    assert receiver.stats()["waiting_bytes"] > 0
    assert receiver.stats()["trouble"]
    other.rollback()
    other.close()
    assert receiver.settle()

    assert 2 == store.session_metrics("a").total_requests
    assert {"kept": 2, "duplicates": 1, "waiting_bytes": 0, "trouble": None}.items() <= receiver.stats().items()
    receiver.close()
    store.close()


def test_at_the_end_trouble_that_lasts_is_not_waited_for(tmp_path):
    """Where the store is damaged for good, what was taken is lost, counted and said; closing does not hang."""
    path, said = tmp_path / "store.db", []
    path.write_bytes(b"no database at all" * 100)
    store = SqliteSource(path)
    receiver = Receiver(store, complain=said.append)
    put(receiver, as_json(request(span(1, {**CHAT, names.SESSION_ID: "a"}))))
    receiver.close()

    assert 1 == receiver.stats()["failed"]
    assert "cannot be written" in said[0]
    store.close()


def test_calls_of_others_have_a_price(tmp_path):
    """By the settings, as in the process that made the call."""
    ledger = Ledger()
    receiver = Receiver(ledger, Config(prices={"gpt-4.1": {"input": 10_000.0, "output": 0.0}}))
    put(receiver, as_json(request(span(1, {**CHAT, names.SESSION_ID: "a"}))))
    receiver.close()

    assert 1.0 == ledger.session_metrics("a").cost["amount"]


def test_a_file_takes_nothing_in(tmp_path):
    """A receiver for what nothing can be added to is an error that names it."""
    file = tmp_path / "file.jsonl"
    file.write_text('{"resourceSpans": []}\n')

    with pytest.raises(ValueError, match=r"file\.jsonl: nothing can be added"):
        Receiver(OtlpSource(file))
