"""What goes wrong in Tachograph stays there, and is counted and told once."""

from __future__ import annotations

import functools
import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def fails(error: BaseException) -> None:
    raise error


class Site:
    def __init__(self, name: Any) -> None:
        self.__qualname__ = name

    def __call__(self) -> None:
        raise ValueError


class BadTexts(Exception):  # noqa: N818 - a name that says what it is
    """An exception that fails whenever somebody looks at it."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class Empty(Exception):  # noqa: N818 - likewise
    """An exception that is false."""

    def __bool__(self) -> bool:
        return False


class Metaclass(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class Nameless(Exception, metaclass=Metaclass):  # noqa: N818 - likewise
    """An exception whose class has no name to tell."""


class Broken(logging.Handler):
    """A handler of the host's that raises, as some do."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


@pytest.fixture
def broken_log() -> Iterator[None]:
    logger, handler = logging.getLogger("tachograph"), Broken()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


def test_what_goes_well_is_passed_through() -> None:
    """The guarded call gives what the function gives, and nothing is counted."""
    guard = Guard()
    assert (guard(divmod, 7, 2), guard.swallowed()) == ((3, 1), {})


def test_a_failure_gives_the_default() -> None:
    """In place of a result there is the default, which is None unless another is given."""
    guard = Guard()
    assert (guard(fails, ValueError()), guard(fails, ValueError(), default=())) == (None, ())


def test_failures_are_counted_by_site() -> None:
    """Each function of ours that failed has its count, by name or else by its type, and the counts are copies."""
    guard = Guard()
    for _ in range(3):
        guard(fails, ValueError())
    guard(int, "x")
    guard(Site("place"))
    guard(Site(None))
    assert guard.swallowed() == {"fails": 3, "int": 1, "place": 1, "Site": 1} == dict(guard)
    guard.swallowed().clear()
    assert len(guard.swallowed()) == 4


def test_the_first_failure_of_a_site_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each site there is one warning, with the traceback of the failure."""
    guard = Guard()
    for number in range(3):
        guard(fails, ValueError(f"number {number}"))
    guard(int, "x")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("tachograph", "WARNING", "tachograph.failure_swallowed at fails: ValueError"),
        ("tachograph", "WARNING", "tachograph.failure_swallowed at int: ValueError"),
    ]
    assert "ValueError: number 0" in caplog.text
    assert "in fails" in caplog.text
    assert "number 1" not in caplog.text


def test_in_strict_mode_the_failure_raises() -> None:
    """In our own tests nothing is swallowed: the very exception comes out, and nothing is counted."""
    guard, error = Guard(strict=True), ValueError()
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the object is compared
        guard(fails, error, default=1)
    assert raised.value is error
    assert guard.swallowed() == {}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("strict", [True, False])
def test_what_stops_the_program_passes(kind: type[BaseException], strict: bool) -> None:  # noqa: FBT001
    """An interrupt that strikes while our code runs is the host's."""
    guard = Guard(strict=strict)
    with pytest.raises(kind):
        guard(fails, kind())
    assert guard.swallowed() == {}


@pytest.mark.parametrize("kind", [BadTexts, Empty, Nameless], ids=["unreadable", "false", "nameless"])
def test_a_hostile_exception_is_swallowed_and_counted(kind: type[Exception]) -> None:
    """However an exception object misbehaves, nothing comes out and it is counted."""
    guard = Guard()
    assert [guard(fails, kind(), default=0) for _ in range(2)] == [0, 0]
    assert guard.swallowed() == {"fails": 2}


def test_a_false_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that says it is nothing has its traceback in the log all the same."""
    Guard()(fails, Empty("told"))
    assert "told" in caplog.text


@pytest.mark.usefixtures("broken_log")
def test_a_broken_log_handler_reaches_nobody() -> None:
    """Where the host's logging raises, the failure is swallowed and counted, and tried only once."""
    guard = Guard()
    assert [guard(fails, ValueError(), default=0) for _ in range(2)] == [0, 0]
    assert guard.swallowed() == {"fails": 2}


def test_sites_too_many_are_other(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the bound all further sites are counted together and logged once."""
    guard = Guard()
    extra = 50
    for number in range(Guard.MAX_SITES + extra):
        for _ in range(2):
            guard(Site(f"site-{number}"))
    assert len(guard.swallowed()) == Guard.MAX_SITES + 1
    assert guard.swallowed()["other"] == 2 * extra
    assert guard.swallowed()["site-0"] == 2
    assert len(caplog.records) == Guard.MAX_SITES + 1


def test_sites_can_be_read_while_others_fail() -> None:
    """A reader's thread goes through the counts while work goes on."""
    guard, done = Guard(), threading.Event()

    def read() -> None:
        while not done.is_set():
            assert all(count > 0 for _, count in guard)

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        for number in range(Guard.MAX_SITES):
            guard(Site(f"site-{number}"))
        done.set()
        reading.result()
    assert sum(count for _, count in guard) == Guard.MAX_SITES


def test_a_failure_of_the_programs_own_is_kept_by_a_strict_guard_too() -> None:
    """What the program has asked to be kept is counted by the name it gave, and logged once."""
    guard = Guard(strict=True)
    assert [3, 3] == [guard.keep("mine", ValueError(), 3) for _ in range(2)]
    assert {"mine": 2} == guard.swallowed()


def test_forgetting_begins_anew_and_the_sum_goes_on() -> None:
    """After a reset failures are counted from nothing, while the count for the metric never falls."""
    guard = Guard()
    for _ in range(2):
        guard(lambda: 1 / 0)
    before = dict(guard)
    guard.reset()
    assert ({}, before) == (guard.swallowed(), dict(guard))
    guard(lambda: 1 / 0)
    assert 3 == sum(dict(guard).values())
    assert 1 == sum(guard.swallowed().values())


def test_a_child_process_has_no_failures_of_its_parents() -> None:
    """What failed before a fork is told of once, by the parent, forgotten or not."""
    guard = Guard()
    guard(fails, ValueError())
    guard.reset()
    guard(fails, ValueError())
    guard.after_fork()

    assert ({}, []) == (guard.swallowed(), [*guard])


# --------------------------------------------------------------------------------------------- what interrupts us
class OutOfTimeError(Exception):
    """What programs raise in a signal handler to end what takes too long."""


def out_of_time(*_: Any) -> None:
    raise OutOfTimeError


class Limit:
    def __call__(self, *_: Any) -> None:
        self.over()

    def over(self, *_: Any) -> None:
        raise OutOfTimeError


class OwnLimit(Limit):
    """One whose class has the handler from another."""


@pytest.fixture
def interrupted() -> Iterator[Callable[[Any], None]]:
    """Interrupts, by a signal that this handler is for."""
    before = signal.getsignal(signal.SIGTERM)

    def interrupt(handler: Any) -> None:
        signal.signal(signal.SIGTERM, handler)
        signal.raise_signal(signal.SIGTERM)

    yield interrupt
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "handler", [out_of_time, Limit().over, OwnLimit(), functools.partial(out_of_time, 1)], ids=type
)
def test_what_a_signal_handler_raises_is_the_hosts(interrupted: Callable[[Any], None], handler: Any) -> None:
    """A time limit that strikes while we are at work strikes the program, and is no failure of ours."""
    guard = Guard()

    with pytest.raises(OutOfTimeError):
        guard(guard, interrupted, handler)

    assert {} == guard.swallowed()


def test_what_others_raise_is_kept_whatever_signals_there_are(interrupted: Callable[[Any], None]) -> None:
    """A handler that raises nothing, or that somebody calls in a thread, leaves failures what they are."""
    guard = Guard()
    guard(lambda: (interrupted(lambda *_: None), fails(ValueError())))
    signal.signal(signal.SIGTERM, out_of_time)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(guard, out_of_time).result()

    assert 2 == sum(guard.swallowed().values())
