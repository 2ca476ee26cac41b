"""Probes: what an integration wants to know of a callable, and the driver that finds it out.

An integration is a list of :class:`Probe` and pure functions from a :class:`Call` to facts. The driver here calls
the host's function, exactly once and with the arguments it was given, and hands back exactly what it got; facts
are taken down before and after, each through the guard. Nothing of ours can therefore raise into the host.

The only user of wrapt.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import wrapt

from tachograph.context import SCOPE_KEY, enter, here, with_scope
from tachograph.drive import StandIn, Watch, drive, standing_in, stands_in
from tachograph.live import Start
from tachograph.streams import Stream, streamed, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context

    from tachograph.guard import Guard
    from tachograph.live import Facts, Live
    from tachograph.recorder import Recorder
    from tachograph.records import Outcome


F = TypeVar("F", bound="Callable[..., Any]")


class Call(Watch):
    """One call of a probed callable, as the fact-functions see it.

    ``live`` is its operation where the probe begins one, ``inside`` the operation it is called in and ``run`` the agent
    run. ``result`` and ``error`` are set when it is over; ``data`` is the integration's own.
    """

    # There is one for each call of a hooked function: what most of them never have is the class's.
    inside: Live | None = None
    run: Live | None = None
    note: Any = None
    live: Live | None = None
    data: Any = None
    result: Any = None
    error: BaseException | None = None

    def __init__(self, driver: _Driver, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._driver = driver
        self.recorder = driver.recorder
        self.instance = instance
        self.args = args
        self.kwargs = kwargs
        self.around = around = here()
        scope: Any = around.get(SCOPE_KEY)
        if scope is not None:
            self.inside, self.note = scope.operation, scope.note
            inside = scope.operation
            if inside is not None:
                self.run = inside if inside.kind == "agent" else inside.agent

    @property
    def owner(self) -> Any:
        """The class or module whose callable it is; of a method that is overridden, the one that is called now."""
        return self._driver.owner

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, however it was passed."""
        args = self.args
        return args[position] if position < len(args) else self.kwargs.get(name, default)

    def failed(self, error: BaseException) -> None:
        """It raised."""
        self._driver.over(self, error)

    def returned(self, result: Any) -> Any:
        """It gave this; gives it again, driven if it is worked off later."""
        driver = self._driver
        if driver.item is not None or (self.live is not None and self.live.deferred):
            driven = driver.driven(self, result)
            if driven is not None:
                return driven
        driver.over(self, None, result)
        return result


class Note(NamedTuple):
    """For the probes that run inside this call: what it is about. No operation of its own."""

    data: Any


@dataclass(frozen=True, slots=True)
class Probe:
    """What to find out about one callable.

    Args:
        owner: class or module that has it.
        attribute: its name there.
        began: called before it; gives a :class:`Start` to begin an operation, a :class:`Note`, or None if there is
            nothing to find out of this call.
        ended: called when it is over, however it ended (``call.error``); gives the facts to add to the operation
            begun, or else to the one it was called in.
        item: called with each thing a streamed result yields.
        skip: whether such a thing has nothing to say to ``item``, found out at a fraction of the cost. Not asked where
            content is captured. Where it fails ``item`` is called, which is to ask it too: so the failure is counted.
        through: what its coroutine gives may be worked off later as well, and is part of the call then.
        optional: its absence is no news.
    """

    owner: Any
    attribute: str
    began: Callable[[Call], Start | Note | None] | None = None
    ended: Callable[[Call], Facts | None] | None = None
    item: Callable[[Call, Any], None] | None = None
    skip: Callable[[Any], bool] | None = None
    through: bool = False
    optional: bool = False

    @property
    def label(self) -> str:
        """``module.Class.method``, for people."""
        return _label(self.owner, self.attribute)


@dataclass(frozen=True, slots=True)
class Glance:
    """A look at each call of a callable before it is made, at a fraction of the cost of a :class:`Probe`.

    Args:
        owner: class or module that has it.
        attribute: its name there.
        look: given the recorder, the instance and the arguments; gives what is to watch the call, or None. What is
            around, it finds out itself (:func:`tachograph.context.current`).
        optional: its absence is no news.
    """

    owner: Any
    attribute: str
    look: Callable[[Recorder, Any, tuple[Any, ...], dict[str, Any]], Watch | None]
    optional: bool = False

    @property
    def label(self) -> str:
        """``module.Class.method``, for people."""
        return _label(self.owner, self.attribute)


@dataclass(frozen=True, slots=True)
class Carry:
    """A decorator factory whose decorated functions run in a thread of its own: take the caller's context there."""

    owner: Any
    attribute: str
    optional: bool = False

    @property
    def label(self) -> str:
        """``module.function``, for people."""
        return _label(self.owner, self.attribute)


def _label(owner: Any, attribute: str) -> str:
    place = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
    return f"{place}.{attribute}"


class _Driver:
    """Takes down the facts of the calls of one probed callable, before and after; :func:`drive` makes them."""

    __slots__ = ("_guard", "_hooks", "_probe", "item", "recorder")

    def __init__(self, probe: Probe, hooks: Hooks) -> None:
        self._probe = probe
        self.item = probe.item
        self._hooks = hooks
        self.recorder = hooks.recorder
        self._guard = hooks.guard.__call__

    @property
    def owner(self) -> Any:
        return self._probe.owner

    def begin(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call is about to be made; None if there is nothing to find out."""
        if not self._hooks.enabled:
            return None
        call = Call(self, instance, args, kwargs)
        began = self._probe.began
        if began is None:
            return call
        start = self._guard(began, call)
        if start is None:
            return None
        call.data = start.data
        if isinstance(start, Start):
            for probe in start.probes:
                self._guard(self._hooks.install, probe)
            call.live = live = self.recorder.begin(start, call.around)
            call.token = enter(live.context(live.base))
        elif isinstance(start, Note):
            call.note = start.data
            note = self.recorder.scope(call.around).noting(start.data)
            call.token = enter(with_scope(note, call.around))
        return call

    def over(self, call: Call, error: BaseException | None, result: Any = None) -> None:
        """The call is over, and what came of it has been worked off."""
        call.result, call.error = result, error
        ended = self._probe.ended
        facts = None if ended is None else self._guard(ended, call)
        if call.live is not None:
            error = call.error  # the probe may have put another in its place
            self.recorder.end(call.live, "ok" if error is None else outcome_of(error), facts, error)
        elif facts and call.inside is not None:
            call.inside.add(facts)
        # An exception holds the frames it passed through, and they this call: do not close that circle.
        call.result = call.error = None

    def driven(self, call: Call, result: Any) -> Any:
        """The same result, driven; None if it is nothing that is worked off later."""
        context: Callable[[Context], Context] | None = None
        if call.live is not None:
            context = call.live.context
        elif call.token is not None:  # a note holds for as long as an operation would
            context = functools.partial(with_scope, self.recorder.scope(call.around).noting(call.data))
        stream = Stream(
            self._hooks.guard,
            live=call.live,
            context=context,
            item=None if self.item is None else functools.partial(self.item, call),
            skip=self._probe.skip if self.recorder.capturing is None else None,
            through=self._probe.through,
            over=functools.partial(self.over, call),
        )
        return streamed(result, stream)


def outcome_of(error: BaseException) -> Outcome:
    """How an operation ends that this leaves."""
    if isinstance(error, GeneratorExit):
        return "abandoned"
    if isinstance(error, SystemExit) and (error.code is None or (type(error.code) is int and error.code == 0)):
        return "ok"  # the program has done what it had to
    return "interrupted" if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)) else "error"


def stand_in(function: F, probe: Probe, hooks: Callable[[], Hooks]) -> F:
    """``function`` probed, by the hooks in force at each call; nothing is patched."""

    def begin(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        return _Driver(probe, hooks()).begin(instance, args, kwargs)

    return cast("F", StandIn(function, functools.partial(drive, hooks().guard, begin)))


class _Alias(weakref.ref):  # type: ignore[type-arg]  # not generic when it runs
    """Of a patch where it stands under another name of its owner, until that has a probe of its own."""


@dataclass(slots=True)
class Hook:
    """One place that is hooked, or is not and why. For ``tachograph doctor``."""

    label: str
    hooked: bool
    why: str = ""
    optional: bool = False


class Hooks:
    """All that is installed, and the way back.

    Args:
        recorder: where facts go.
        guard: around everything.
    """

    def __init__(self, recorder: Recorder, guard: Guard) -> None:
        self.recorder = recorder
        self.guard = guard
        self.enabled = True
        self.uninstalled = False
        # Weak, keys and values: classes made inside functions must stay collectable, and a patch knows its owner.
        self._patched: weakref.WeakKeyDictionary[Any, dict[str, weakref.ref[Any]]] = weakref.WeakKeyDictionary()
        self._patches: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()
        self.rows: dict[str, Hook] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """A child process: another thread may have held the lock."""
        self._lock = threading.RLock()

    def install(self, probe: Probe | Glance | Carry) -> None:
        """Hook a callable, unless it is hooked already. What its owner only inherits is hooked where it is."""
        if not self._is_patched(probe.owner, probe.attribute):
            with self._lock:  # several threads may be the first
                if not self._is_patched(probe.owner, probe.attribute):
                    self._install(probe)

    def _is_patched(self, owner: Any, attribute: str) -> bool:
        # A patch that nobody has any more, the program has put something else in the place of; one under a patch of the
        # program's is in force.
        patch = self._patched.get(owner, {}).get(attribute)
        return patch is not None and patch() is not None and type(patch) is not _Alias

    def _install(self, probe: Probe | Glance | Carry) -> None:
        owner, attribute = probe.owner, probe.attribute
        try:
            original = vars(owner)[attribute]
        except KeyError:
            why = "not there: this version of the framework is built differently"
            self._row(Hook(probe.label, hooked=False, why=why, optional=probe.optional))
            return
        try:
            if type(self._patched.get(owner, {}).get(attribute)) is _Alias:
                original = original.__wrapped__
            patch = original
            # Else the program has put ours here as well, as who copies a class or a method of another does.
            if self._patches.get((id(patch), attribute)) is not patch:
                wrapper = functools.partial(drive, self.guard.__call__, self._begin(probe))
                patch = standing_in(owner, original, wrapper)
            self._patch(owner, attribute, patch)
            for name in [name for name, value in vars(owner).items() if value is original and value is not patch]:
                self._patch(owner, name, patch, _Alias)
        except (AttributeError, TypeError) as error:  # of a class whose metaclass lets nothing be set
            self._row(
                Hook(probe.label, hooked=False, why=f"its class lets nothing be replaced ({type(error).__name__})")
            )
        else:
            self._row(Hook(probe.label, hooked=True))

    def install_family(self, root: type, attributes: Iterable[str], probe: Callable[[type, str], Probe]) -> None:
        """Hook ``attributes`` in every class that defines them: ``root``, its subclasses, and those yet to come."""
        attributes = tuple(attributes)

        def hook(member: type) -> None:
            for attribute in attributes:
                if not self.uninstalled and attribute in vars(member):
                    self.install(probe(member, attribute))

        for member in (root, *descendants(root)):
            self.guard(hook, member)

        def __init_subclass__(cls: type, /, **kwargs: Any) -> None:  # noqa: N807 - it becomes one
            announcement.above(root, cls)(**kwargs)
            self.guard(hook, cls)

        announcement = _Announcement(__init_subclass__, vars(root).get("__init_subclass__"))
        if "__init_subclass__" not in self._patched.get(root, ()):
            self._patch(root, "__init_subclass__", announcement)

    def _begin(self, probe: Probe | Glance | Carry) -> Callable[..., Watch | None]:
        """What is done when the probed callable is called."""
        if isinstance(probe, Probe):
            return _Driver(probe, self).begin
        if isinstance(probe, Carry):
            return self._carrying
        begin: Any = functools.partial(self._look, probe.look)
        begin.__qualname__ = probe.look.__qualname__  # for the guard, to say what failed
        return begin  # type: ignore[no-any-return]

    def _look(self, look: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch | None:
        return look(self.recorder, instance, args, kwargs) if self.enabled else None

    def _carrying(self, *_: Any) -> _Carrying | None:
        return _Carrying(self.guard) if self.enabled else None

    def _patch(self, owner: Any, attribute: str, patch: Any, kind: type[weakref.ref[Any]] = weakref.ref) -> None:
        if vars(owner).get(attribute) is not patch:
            setattr(owner, attribute, patch)
        self._patched.setdefault(owner, {})[attribute] = kind(patch)
        self._patches[id(patch), attribute] = patch

    def _row(self, hook: Hook) -> None:
        # Classes made inside functions can be many, all with one label; bounded for those made with many.
        if hook.label in self.rows or len(self.rows) < 1_000:  # noqa: PLR2004
            self.rows[hook.label] = hook

    def uninstall(self) -> None:
        """Put everything back as it was. A patch that somebody put over ours stays; ours is then without effect."""
        self.enabled, self.uninstalled = False, True
        for owner, patches in list(self._patched.items()):
            for attribute, reference in patches.items():
                patch, present = reference(), vars(owner).get(attribute)
                if patch is None or present is None:
                    continue
                original = patch.inherited if isinstance(patch, _Announcement) else patch.__wrapped__
                if present is not patch:
                    # If that over it is ours too, of a runtime that took over, it is to put back what was there first.
                    _take_out(present, patch, original)
                elif original is None:
                    delattr(owner, attribute)
                else:
                    setattr(owner, attribute, original)
        self._patched.clear()
        self.rows.clear()


class _Carrying(Watch):
    """The call of a decorator factory, whose decorator is to take this context along."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._context = here()

    def returned(self, decorator: Any) -> Any:
        return functools.partial(_decorated, decorator, self._guard, self._context)


def _decorated(decorator: Callable[[Any], Any], guard: Guard, context: Context, function: Any) -> Any:
    return decorator(guard(within, function, lambda: context, guard, default=function))


class _Announcement(classmethod):  # type: ignore[type-arg]  # not generic before Python 3.12
    """An ``__init_subclass__`` of ours, in the place of the one the class had, if any."""

    def __init__(self, function: Callable[..., Any], inherited: Any) -> None:
        super().__init__(function)
        self.inherited = inherited

    def above(self, root: Any, member: Any) -> Any:
        """What would have been called without us."""
        return super(root, member).__init_subclass__ if self.inherited is None else self.inherited.__get__(None, member)


def _take_out(above: Any, patch: Any, original: Any) -> None:
    if isinstance(above, _Announcement) and above.inherited is patch:
        above.inherited = original
    elif stands_in(above) and above.__wrapped__ is patch:
        above.stand_for(original)


def descendants(root: type) -> list[type]:
    """All subclasses of a class, of all generations, each once."""
    found: dict[int, type] = {}  # by identity: a metaclass may make its classes compare, or not hash, as it likes
    todo: list[type] = type.__subclasses__(root)  # so asked, a metaclass answers too
    while todo:
        member = todo.pop()
        if id(member) not in found:
            found[id(member)] = member
            todo += type.__subclasses__(member)
    return list(found.values())


def when_imported(module: str, do: Callable[[Any], None]) -> None:
    """``do(module)`` as soon as a module is imported; at once if it is already."""
    wrapt.register_post_import_hook(do, module)
