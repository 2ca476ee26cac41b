"""Sessions and requests: in every kind of block and callable, at once in many, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import logging
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach, get_current

import tachograph
from tachograph import agent, bind, correlation, names, runtime, session
from tachograph.context import Scope, current, with_scope
from tachograph.live import Start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tachograph.records import Operation
    from tachograph.testing import Capture

pytestmark = pytest.mark.usefixtures("captured")


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry's own complaint about contexts is never provoked, and nothing of ours is in force afterwards."""
    caplog.set_level(logging.DEBUG)
    before = get_current()
    yield
    assert before is get_current()
    assert [] == [record for record in caplog.records if record.name == "opentelemetry.context"]


def work(name: str = "work", kind: Any = "tool") -> Operation:
    """One operation, begun and ended; gives its record."""
    recorder = runtime.current().recorder
    live = recorder.begin(Start(kind, name))
    recorder.end(live)
    return live.record


def ids() -> tuple[str | None, str | None, str | None]:
    """The ids that an operation has which happens now; no correlation id where it is one of its own."""
    record, again = work(), work()
    assert record.session_id == again.session_id
    correlated = record.correlation_id if record.correlation_id == again.correlation_id else None
    return record.session_id, correlated, record.user_id


def nobodys(seen: tuple[str | None, ...]) -> bool:
    """Whether the ids are those of work outside any session."""
    return seen == (runtime.current().process_session(), None, None)


# ------------------------------------------------------------------------------------------------------- as a block
def test_work_in_a_block_belongs_to_the_session() -> None:
    """Inside ``with session(…)`` work has its ids, before and after it those of the process."""
    assert nobodys(ids())
    with session("s", user_id="u", correlation_id="c") as bound:
        assert ("s", "c", "u") == ids() == (bound.session_id, bound.correlation_id, bound.user_id)
    assert nobodys(ids())


def test_a_session_without_a_name_is_one_of_its_own() -> None:
    """Each entry of ``session()`` is a session nobody else has."""
    binding = session()
    with binding as first:
        assert first.session_id == ids()[0]
    with binding as second:
        assert second.session_id == ids()[0]

    assert 3 == len({first.session_id, second.session_id, runtime.current().process_session()})


def test_requests_in_a_session() -> None:
    """Without a correlation id each outermost operation is a request of its own; with one they are one."""
    with session("s"):
        one, other = work(), work()
        with correlation("c"):
            assert ("s", "c", None) == ids()
        with correlation() as bound:
            assert ("s", bound.correlation_id, None) == ids()
    assert one.correlation_id != other.correlation_id
    with correlation("alone") as bound:
        assert (runtime.current().process_session(), "alone", None) == ids()
        assert (bound.session_id, bound.correlation_id) == (runtime.current().process_session(), "alone")


def test_sessions_nest() -> None:
    """The innermost session is in force; another one inside is another request, the same one the same request."""
    with session("outer", correlation_id="c", user_id="u"):
        with session("inner"):
            assert ("inner", None, "u") == ids()
            with session("outer"):
                assert ("outer", None, "u") == ids()
        with session("outer"):
            assert ("outer", "c", "u") == ids()
        with session("outer", correlation_id="d", user_id="v"):
            assert ("outer", "d", "v") == ids()
        assert ("outer", "c", "u") == ids()


def test_a_session_inside_an_operation_keeps_the_parent(captured: Capture) -> None:
    """What is opened inside an operation stays inside it, whatever session it is put into."""
    recorder = captured.runtime.recorder
    live = recorder.begin(Start("agent", "a"))
    token = attach(live.context())
    with session("other"):
        inner = work()
    detach(token)
    recorder.end(live)

    assert live.record.id == inner.parent_id
    assert ("other", "a") == (inner.session_id, inner.agent)


def test_an_exception_passes() -> None:
    """A block swallows nothing, and ends on the way out."""
    failure = ValueError("no")
    with pytest.raises(ValueError, match="no") as raised, session("s"):
        raise failure

    assert failure is raised.value
    assert nobodys(ids())


def test_one_binding_may_be_entered_inside_itself() -> None:
    """The same object, entered again before it is left, is left in the right order."""
    binding = session("s")
    with binding, binding:
        assert "s" == ids()[0]
    assert nobodys(ids())
    assert 0 == runtime.current().misused


def test_what_a_block_gives_reads_its_session(captured: Capture) -> None:
    """The object in ``as`` answers for its own session and no other."""
    with session("mine") as bound:
        work()
        work()
    with session("other"):
        work()

    assert 2 == bound.metrics().tool_calls
    assert {"mine"} == {entry["session_id"] for entry in bound.audit_log()}
    assert 2 == len(bound.audit_log(event_type="tool_execution_completed"))
    assert captured.ledger.timeline(session_id="mine").entries == bound.timeline().entries


def test_async_blocks() -> None:
    """``async with`` is the same for coroutines, through every await."""

    async def main() -> None:
        async with session("s", correlation_id="c") as bound:
            await asyncio.sleep(0)
            assert ("s", "c", None) == ids() == (bound.session_id, bound.correlation_id, None)
            async with correlation("d"):
                await asyncio.sleep(0)
                assert ("s", "d", None) == ids()
        assert nobodys(ids())

    asyncio.run(main())


def test_async_blocks_of_tasks_at_once_do_not_mix() -> None:
    """Many tasks inside one binding and inside their own are each where they are."""
    shared = session("shared")

    async def one(n: int) -> list[Any]:
        seen = []
        async with session(f"own {n}"):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(ids()[0])
            async with shared:
                await asyncio.sleep(0)
                seen.append(ids()[0])
                child = asyncio.create_task(grandchild())
            seen.append(ids()[0])
        await asyncio.sleep(0)
        return [*seen, await child, nobodys(ids())]

    async def grandchild() -> str | None:
        await asyncio.sleep(0)
        return ids()[0]

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(one(n) for n in range(20)))

    expected = [[*[f"own {n}"] * 3, "shared", f"own {n}", "shared", True] for n in range(20)]
    assert expected == asyncio.run(main())
    assert 0 == runtime.current().misused


def test_one_binding_in_many_threads_at_once() -> None:
    """Threads that enter and leave one binding as fast as they can are never in each other's way."""
    shared, wrong = session(), []

    def enter_and_leave(start: threading.Barrier) -> None:
        start.wait()
        for _ in range(300):
            with shared as outer, shared as inner:
                scope = current()
                if scope is None or scope.session_id != inner.session_id or outer.session_id == inner.session_id:
                    wrong.append(scope)
            if current() is not None:
                wrong.append(current())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=enter_and_leave, args=(barrier,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert [] == wrong
    assert 0 == runtime.current().misused
    assert {} == shared._entered


# --------------------------------------------------------------------------------------------------- as a decorator
class Shapes:
    """Callables of each kind, under each decorator."""

    @session("s")
    def plain(self) -> Any:
        """Plain."""
        return [ids()]

    @session("s")
    def generator(self) -> Any:
        """Stream."""
        yield ids()
        yield ids()

    @session("s")
    async def coroutine(self) -> Any:
        """Await."""
        await asyncio.sleep(0)
        return [ids()]

    @session("s")
    async def async_generator(self) -> Any:
        """Stream and await."""
        await asyncio.sleep(0)
        yield ids()
        await asyncio.sleep(0)
        yield ids()

    @session
    def bare(self) -> Any:
        """Plain."""
        return [ids(), ids()]

    @session
    async def bare_coroutine(self) -> Any:
        """Await."""
        first = ids()
        await asyncio.sleep(0)
        return [first, ids()]

    @session
    def bare_generator(self) -> Any:
        """Stream."""
        yield ids()
        yield ids()

    @correlation
    def request(self) -> Any:
        """Plain."""
        return [ids(), ids()]

    @correlation("c")
    async def named_request(self) -> Any:
        """Await."""
        await asyncio.sleep(0)
        return [ids()]

    @session("s")
    @classmethod
    def of_the_class(cls) -> Any:
        """Class."""
        assert cls is Shapes
        return [ids()]

    @staticmethod
    @session("s")
    async def of_nobody() -> Any:
        """Static."""
        await asyncio.sleep(0)
        return [ids()]


def _worked_off(result: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [item async for item in result]

    if inspect.iscoroutine(result):
        return list(asyncio.run(result))
    return asyncio.run(collect()) if hasattr(result, "__anext__") else list(result)


@pytest.mark.parametrize("name", ["plain", "generator", "coroutine", "async_generator", "of_the_class", "of_nobody"])
def test_decorated_callables_run_in_their_session(name: str) -> None:
    """A function, generator, coroutine function or async generator runs in its session for its whole life."""
    seen = _worked_off(getattr(Shapes(), name)())

    assert {("s", None, None)} == set(seen)
    assert nobodys(ids())


@pytest.mark.parametrize("name", ["bare", "bare_coroutine", "bare_generator"])
def test_a_bare_decorator_gives_each_call_a_session_of_its_own(name: str) -> None:
    """``@session`` without parentheses: one session for all of one call, another one for the next."""
    first, second = (_worked_off(getattr(Shapes(), name)()) for _ in range(2))

    assert 1 == len(set(first)) == len(set(second))
    assert first[0][0] != second[0][0]
    assert not nobodys(first[0])


def test_a_bare_correlation_gives_each_call_a_request_of_its_own() -> None:
    """``@correlation`` without parentheses: one request for all of one call, another one for the next."""
    with session("s"):
        first, second = Shapes().request(), Shapes().request()
        named = asyncio.run(Shapes().named_request())

    assert first[0] == first[1] != second[0] == second[1]
    assert "s" == first[0][0] == second[0][0]
    assert [("s", "c", None)] == named


@pytest.mark.parametrize("name", ["plain", "generator", "coroutine", "async_generator"])
def test_a_decorated_callable_keeps_its_looks(name: str) -> None:
    """Name, text, signature and kind of a decorated callable are those it had."""
    decorated = vars(Shapes)[name]
    plain = decorated.__wrapped__

    assert (plain.__name__, plain.__doc__, str(inspect.signature(plain))) == (
        decorated.__name__,
        decorated.__doc__,
        str(inspect.signature(decorated)),
    )
    for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert kind(plain) == kind(decorated)


def test_generators_in_sessions_of_their_own_are_read_in_turns() -> None:
    """Between the steps of a decorated generator its reader is in its own session, and each generator in its."""

    def stream() -> Iterator[str | None]:
        yield ids()[0]
        yield ids()[0]

    with session("reader"):
        one, other = session("one")(stream)(), session("other")(stream)()
        seen = [(*item, ids()[0]) for item in zip(one, other, strict=True)]

    assert [("one", "other", "reader")] * 2 == seen


def test_a_decorated_generator_may_be_left_anyhow() -> None:
    """Closed elsewhere, dropped or never begun: a decorated generator leaves nothing in force and no complaint."""

    @session("s")
    def stream() -> Iterator[str | None]:
        try:
            yield ids()[0]
        finally:
            cleaned.append(ids()[0])

    @session("s")
    async def astream() -> AsyncIterator[str | None]:
        try:
            yield ids()[0]
        finally:
            await asyncio.sleep(0)
            cleaned.append(ids()[0])

    async def main() -> None:
        async for _ in astream():
            break
        elsewhere: Any = astream()
        await asyncio.ensure_future(elsewhere.asend(None))
        await asyncio.ensure_future(elsewhere.aclose())

    cleaned: list[Any] = []
    dropped = stream()
    next(dropped)
    del dropped
    elsewhere: Any = stream()
    next(elsewhere)
    _in_a_thread(elsewhere.close)
    stream()
    asyncio.run(main())
    gc.collect()

    assert ["s"] * 4 == cleaned
    assert 0 == runtime.current().misused


def test_a_decorated_callable_survives_a_change_of_runtime(captured: Capture) -> None:
    """What was decorated when the module was imported records in the runtime of the moment it is called."""
    Shapes().plain()

    assert 2 == captured.ledger.session_metrics("s").tool_calls


# ---------------------------------------------------------------------------------------------------- its own ids
@pytest.mark.parametrize(
    ("given_id", "used", "counted"),
    [
        ("fine", "fine", 0),
        (" padded ", "padded", 1),
        ("", None, 1),
        ("\x00\x1b[31m", "[31m", 1),
        ("x" * 10_000, "x" * 183 + "-", 1),
        (42, "42", 1),
        (uuid.UUID(int=1), f"{1:032x}", 1),
        ("half \ud800", "half ?", 1),
        (object(), None, 1),
        (None, None, 0),
    ],
    ids=["fine", "padded", "empty", "control", "long", "number", "uuid", "surrogate", "object", "none"],
)
@pytest.mark.parametrize("make", [session, correlation], ids=["session", "correlation"])
def test_an_id_is_never_refused(make: Any, given_id: Any, used: str | None, counted: int) -> None:
    """An id that no backend could hold is cleaned or replaced, and counted; nothing is raised."""
    with make(given_id) as bound:
        chosen = bound.session_id if make is session else bound.correlation_id
        record = work()

    assert chosen == (record.session_id if make is session else record.correlation_id)
    assert chosen.startswith(used) if used else len(chosen) == 32
    assert len(chosen) <= 200
    assert counted == runtime.current().ids_cleaned == tachograph.stats()["ids_cleaned"]


def test_user_and_request_ids_are_cleaned_too(caplog: pytest.LogCaptureFixture) -> None:
    """Every id given is cleaned and counted; the first is worth a line in the log, which does not repeat it."""
    with session("s", user_id="\x00mallory\x00", correlation_id=7):
        assert ("s", "7", "mallory") == ids()
    with session("s", user_id=object()):
        assert ("s", None, None) == ids()

    assert 3 == runtime.current().ids_cleaned
    lines = [record.getMessage() for record in caplog.records if "tachograph.id_cleaned" in record.getMessage()]
    assert 1 == len(lines)
    assert "mallory" not in lines[0]


# --------------------------------------------------------------------------------------------------------- misuse
def _left_in_another_thread() -> None:
    binding = session("s")
    _in_a_thread(binding.__enter__)
    binding.__exit__(None, None, None)


def _left_in_another_task() -> None:
    async def main() -> None:
        binding = session("s")

        async def enter() -> None:
            binding.__enter__()

        await asyncio.create_task(enter())
        binding.__exit__(None, None, None)

    asyncio.run(main())


def _left_in_a_copy() -> None:
    binding = session("s")
    binding.__enter__()
    contextvars.copy_context().run(binding.__exit__, None, None, None)
    assert 1 == runtime.current().misused
    binding.__exit__(None, None, None)  # where it was entered it can still be left


def _left_twice() -> None:
    binding = session("s")
    with binding:
        pass
    binding.__exit__(None, None, None)


def _never_entered() -> None:
    session("s").__exit__(None, None, None)


def _left_out_of_order() -> None:
    outer, inner = session("outer"), session("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert "inner" == ids()[0]
    inner.__exit__(None, None, None)
    assert "outer" == ids()[0]
    outer.__exit__(None, None, None)


def _held_open_by_a_generator() -> None:
    def stream() -> Iterator[int]:
        with session("s"):
            yield 1

    def begin_and_keep() -> None:
        kept.append(stream())
        next(kept[0])

    kept: list[Any] = []
    contextvars.copy_context().run(begin_and_keep)
    kept[0].close()


@pytest.mark.parametrize(
    "misuse",
    [
        _left_in_another_thread,
        _left_in_another_task,
        _left_in_a_copy,
        _left_twice,
        _never_entered,
        _left_out_of_order,
        _held_open_by_a_generator,
    ],
    ids=lambda misuse: misuse.__name__.strip("_"),
)
def test_misuse_is_counted_and_never_raised(misuse: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    """A block left where it is not in force is the host's slip: one line and a count, and no harm."""
    misuse()

    assert 1 == runtime.current().misused == tachograph.stats()["misused"]
    assert ["WARNING"] == [record.levelname for record in caplog.records if record.name == "tachograph"]
    assert nobodys(ids())


def _in_a_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# ---------------------------------------------------------------------------------------------------------- binding
def _through_a_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    _in_a_thread(lambda: results.append(function()))
    return results[0]


def _through_a_pool(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def _through_an_executor(function: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function)

    return asyncio.run(main())


def _through_a_callback(function: Callable[[], Any]) -> Any:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        result = loop.create_future()
        loop.call_soon(lambda: result.set_result(function()), context=contextvars.Context())
        return await result

    return asyncio.run(main())


WAYS = [_through_a_thread, _through_a_pool, _through_an_executor, _through_a_callback]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_bound_work_belongs_where_it_was_bound(captured: Capture, way: Callable[[Any], Any]) -> None:
    """``bind`` takes session, request, user and operation to where context does not go by itself."""
    recorder = captured.runtime.recorder
    with session("s", correlation_id="c", user_id="u"):
        live = recorder.begin(Start("agent", "a"))
        token = attach(live.context())
        bound = bind(work)
        detach(token)
        recorder.end(live)
    plain, carried = way(work), way(bound)

    assert ("s", "c", "u", live.record.id, "a") == (
        carried.session_id,
        carried.correlation_id,
        carried.user_id,
        carried.parent_id,
        carried.agent,
    )
    assert (runtime.current().process_session(), None, None) == (plain.session_id, plain.parent_id, plain.agent)


def test_bound_coroutine_functions_and_generators() -> None:
    """What a bound coroutine function or generator does belongs there for its whole life, and not its reader."""

    async def acall() -> Any:
        await asyncio.sleep(0)
        return [ids()]

    async def astream() -> Any:
        await asyncio.sleep(0)
        yield ids()
        await asyncio.sleep(0)
        yield ids()

    def stream() -> Any:
        yield ids()
        yield ids()

    with session("s", correlation_id="c"):
        bound = [bind(function) for function in (acall, astream, stream)]
    for function in bound:
        assert {("s", "c", None)} == set(_worked_off(function()))
        assert nobodys(ids())
    reader: Any = bound[2]()
    with session("reader"):
        assert ("s", "c", None) == next(reader)
        assert "reader" == ids()[0]


def test_bound_again_belongs_where_it_was_bound_first() -> None:
    """The innermost binding is the one that holds, and a bound method keeps its instance."""

    class Host:
        def method(self) -> Any:
            return self, ids()[0]

    host = Host()
    with session("first"):
        bound = bind(host.method)
    with session("second"):
        assert (host, "first") == bind(bound)()
        assert (host, "first") == functools.partial(bound)()


def test_bound_outside_everything_is_outside() -> None:
    """Work bound where no session was in force is in none, wherever it is called."""
    bound = bind(ids)
    with session("s"):
        assert nobodys(bound())
        assert "s" == ids()[0]


# ---------------------------------------------------------------------------------------------------- other services
def test_ids_are_taken_over_from_baggage() -> None:
    """A session, request and user that another service handed over are those of the work done for it."""
    context = get_current()
    for name, value in ((names.SESSION_ID, "s"), (names.CORRELATION_ID, "c"), (names.USER_ID, "u")):
        context = baggage.set_baggage(name, value, context)
    token = attach(context)
    try:
        assert ("s", "c", "u") == ids()
        with correlation("d"):
            assert ("s", "d", "u") == ids()
        with session("own"):
            assert ("own", None, "u") == ids()
        with session("s"):
            assert ("s", "c", "u") == ids()
    finally:
        detach(token)
    token = attach(baggage.set_baggage(names.CORRELATION_ID, "c"))
    try:
        assert (runtime.current().process_session(), "c", None) == ids()
    finally:
        detach(token)


def test_ids_are_handed_on_where_asked_and_not_else() -> None:
    """``propagate=True`` puts the ids into the baggage of the block; without it, nothing reaches anybody else."""
    with session("s", correlation_id="c", user_id="u"):
        assert {} == baggage.get_all()
    with session("s", correlation_id="c", user_id="u", propagate=True):
        assert {"session.id": "s", "tachograph.correlation.id": "c", "user.id": "u"} == baggage.get_all()
        with session("t"):
            assert ("t", None, "u") == ids()
        with correlation("d", propagate=True):
            assert "d" == baggage.get_all()["tachograph.correlation.id"]
    assert {} == baggage.get_all()


def test_what_is_handed_on_is_what_holds(captured: Capture) -> None:
    """Inside the block a request named or begun later goes out in its turn; of another session nothing does."""
    with session("s", correlation_id="c", user_id="u", propagate=True):
        with correlation("d"):
            assert {"session.id": "s", "tachograph.correlation.id": "d", "user.id": "u"} == baggage.get_all()
        with session("s", correlation_id="e", user_id="v"):
            assert {"session.id": "s", "tachograph.correlation.id": "e", "user.id": "v"} == baggage.get_all()
        with session("t", correlation_id="f"):
            assert {} == baggage.get_all()
            with session("s", correlation_id="c", user_id="u"):
                assert {} == baggage.get_all()
        assert {"session.id": "s", "tachograph.correlation.id": "c", "user.id": "u"} == baggage.get_all()

    with session("s", propagate=True), agent("a"):
        (run,) = captured.ledger.open_operations()
        assert {"session.id": "s", "tachograph.correlation.id": run.correlation_id} == baggage.get_all()
        with agent("b"):
            assert {"session.id": "s", "tachograph.correlation.id": run.correlation_id} == baggage.get_all()


def test_baggage_that_somebody_else_has_set_stays() -> None:
    """The program's own entries, and those of a service before this one, are theirs, whatever they are called."""
    token = attach(baggage.set_baggage(names.SESSION_ID, "theirs", baggage.set_baggage(names.USER_ID, "u")))
    try:
        with session("own", correlation_id="c", user_id="v"), correlation("d"):
            assert {"session.id": "theirs", "user.id": "u"} == baggage.get_all()
    finally:
        detach(token)


@session("s", propagate=True)
def _propagating() -> dict[str, object]:
    return dict(baggage.get_all())


def test_a_decorator_hands_on_too() -> None:
    """Baggage is there in every call of a decorated function, and only there."""
    assert {"session.id": "s"} == _propagating()
    assert {} == baggage.get_all()


# --------------------------------------------------------------------------------------------------- what is written
def test_ids_are_on_every_writing(captured: Capture) -> None:
    """Session, request and user are on the span from its start, on the ledger's record and on log events."""
    with session("s", user_id="u", correlation_id="c"):
        record = work(kind="model")
        captured.runtime.recorder.event("session_created", {})

    expected = {"session.id": "s", "tachograph.correlation.id": "c", "user.id": "u"}
    (span,) = captured.spans
    (log,) = captured.logs
    assert expected.items() <= dict(span.attributes or {}).items()
    assert {"session.id": "s", "tachograph.correlation.id": "c"}.items() <= dict(
        log.log_record.attributes or {}
    ).items()
    assert ("s", "c", "u") == (record.session_id, record.correlation_id, record.user_id)
    assert "u" == captured.ledger.session_metrics("s").user_id == captured.spans_only.session_metrics("s").user_id


@pytest.mark.parametrize("conversation", [False, True])
def test_a_conversation_is_only_what_is_said_to_be_one(captured: Capture, *, conversation: bool) -> None:
    """``gen_ai.conversation.id`` is on spans where the session is said to be a conversation, and never made up."""
    with session("s", conversation=conversation):
        work()
        captured.runtime.providers.tracer()
        tracer = (captured.runtime.providers._explicit or trace.get_tracer_provider()).get_tracer("foreign")
        tracer.start_span("foreign").end()

    found = [(span.attributes or {}).get(names.CONVERSATION_ID) for span in captured.spans]
    assert [("s" if conversation else None)] * 2 == found


def test_a_scope_made_by_hand_is_no_explicit_session() -> None:
    """Work inside an operation in nobody's session stays in the process session, with the operation's request."""
    token = attach(with_scope(Scope("by hand", "c")))
    try:
        assert ("by hand", "c", None) == ids()
        with session("by hand"):
            assert ("by hand", None, None) == ids()
    finally:
        detach(token)


def test_blocks_never_left_are_bounded() -> None:
    """A binding that is entered and never left does not grow without end."""
    binding = session("s")

    def enter_and_leave_open() -> None:
        for _ in range(10_050):
            binding.__enter__()

    contextvars.copy_context().run(enter_and_leave_open)

    assert len(binding._entered) == 10_000
