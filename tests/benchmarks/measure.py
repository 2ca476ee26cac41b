"""What recording costs: ratios of medians from interleaved rounds, in one run.

    python tests/benchmarks/measure.py [WHAT ...] [--rounds 60]

Every mode (see `programs.py`) is a process of its own that is asked in turn, so that whatever else the machine does
falls on all of them. Without names everything is measured. OpenInference's package is measured where it is installed.

- step: CPU time on the program's thread for each step of an agent (one model call, one tool call), beyond the program
  alone, against the same spans and metrics written by hand.
- unread: the same when more has come than waits to be read: points and counting are then the program's thread's.
- whole: the same for the whole process, its exporting thread and a reader that collects every 200 steps included.
- scaling: step 200 against step 10, replayed without the framework's own work.
- chunk: each chunk of a stream, against a hand-written pass-through iterator that looks for the same, and against one
  that also makes its span current while the chunk is made, as it should.
- slow: wall time of a program whose model takes 300 ms a call, against the program alone.
- kept: what a store adds to a program that is recorded: each agent step, on the program's thread and in wall time with
  a model that takes 30 ms; against the same without.
- store: operations a second into a store, counters and chain included, against a bare ``executemany`` of the same rows
  into the same tables.
- read: reading one session's counters with 10,000 sessions and 1,000,000 operations recorded.
- bus: publishing an event to two subscribers, delivered to both in order, audit log included, against an event bus
  written on asyncio (`bus.py`); wall time and CPU time.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYTHONHASHSEED", "0")
STEPS, CHUNKS, WARM_UP, STARTS = 20, 2_000, 3, 6
UNREAD = 1_500
STORED, BATCH = 100_000, 500
ALL_MODES = ("none", "handwritten", "tachograph", "openinference")


# ------------------------------------------------------------------------------------------------------ one mode
def worker(mode: str, what: str) -> None:
    """Answer each line of input with one measurement, in seconds."""
    sys.path.insert(0, str(Path(__file__).parent))
    import programs  # noqa: PLC0415 - the driver needs none of it

    tracing, _, reader = programs.providers()
    program = programs.Program()
    programs.MODES[mode](tracing)

    def step() -> float:
        began = time.thread_time()
        program.run(STEPS)
        return (time.thread_time() - began) / STEPS

    def unread() -> float:
        program.run_until(UNREAD // STEPS, STEPS)
        return step()

    def whole() -> float:
        began = time.process_time()
        for _ in range(10):
            program.run(STEPS)
        tracing.force_flush()
        reader.get_metrics_data()
        return (time.process_time() - began) / STEPS / 10

    def scaling() -> float:
        program.model.steps, program.model.calls = 1, 0
        program.agent.run("go")
        took = replay()
        return statistics.median(took[195:205]) / statistics.median(took[5:15])

    def replay() -> list[int]:
        class Once(programs.FakeModel):
            def generate(self, *_: Any, **__: Any) -> Any:
                self.calls += 1
                name, arguments = (
                    ("replay", {"steps": 210}) if self.calls == 1 else ("final_answer", {"answer": "done"})
                )
                function = programs.ChatMessageToolCallFunction(name=name, arguments=arguments)
                call = programs.ChatMessageToolCall(id="call", type="function", function=function)
                return programs.ChatMessage(role="assistant", content="", tool_calls=[call])

        model, program.agent.model = program.agent.model, Once()
        program.model.steps, program.model.calls = 10_000, 0
        program.agent.run("go")
        program.agent.model = model
        return program.replay.took

    def chunk() -> float:
        began = time.thread_time()
        program.stream(CHUNKS)
        return (time.thread_time() - began) / CHUNKS

    def paced() -> float:
        program.model.seconds = 0.03
        began = time.perf_counter()
        program.run(STEPS)
        return (time.perf_counter() - began) / STEPS

    def slow() -> float:
        program.model.seconds = 0.3
        began = time.perf_counter()
        program.run(4)
        return time.perf_counter() - began

    measure: Callable[[], float] = locals()[what]
    print("ready", flush=True)
    for _ in sys.stdin:
        value = measure()
        tracing.force_flush()
        print(value, flush=True)


# -------------------------------------------------------------------------------------------------------- in turn
def medians(what: str, modes: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Median of each mode's measurements, taken in turn, by several processes of each mode: no two are equally fast."""
    took: dict[str, list[float]] = {mode: [] for mode in modes}
    for _ in range(min(STARTS, rounds)):
        for mode, values in _in_turn(what, modes, max(1, rounds // STARTS)).items():
            took[mode] += values
    return {mode: statistics.median(values) for mode, values in took.items()}


def _in_turn(what: str, modes: tuple[str, ...], rounds: int) -> dict[str, list[float]]:
    workers: dict[str, Any] = {
        mode: subprocess.Popen(
            [sys.executable, __file__, what, "--worker", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for mode in modes
    }
    took: dict[str, list[float]] = {mode: [] for mode in modes}
    for process in workers.values():
        process.stdout.readline()
    for number in range(rounds + WARM_UP):
        for mode, process in workers.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            value = float(process.stdout.readline())
            if number >= WARM_UP:
                took[mode].append(value)
    for process in workers.values():
        process.stdin.close()
        process.wait()
    return took


def modes_here(*wanted: str) -> tuple[str, ...]:
    """The modes that can be measured in this environment."""
    try:
        rival = importlib.util.find_spec("openinference.instrumentation.smolagents") is not None
    except ModuleNotFoundError:  # nothing of it is here
        rival = False
    return tuple(mode for mode in wanted if mode != "openinference" or rival)


def row(what: str, mode: str, figure: str, ratio: str = "") -> None:
    """One line of the table."""
    print(f"{what:34} {mode:14} {figure:>12} {ratio:>20}", flush=True)


def beyond(what: str, title: str, rounds: int, modes: tuple[str, ...] = ALL_MODES) -> None:
    """What each mode adds to the program alone, against what writing by hand adds."""
    took = medians(what, modes_here(*modes), rounds)
    floor = took["handwritten"] - took["none"]
    for mode, value in took.items():
        if mode != "none":
            added = value - took["none"]
            row(title, mode, f"{added * 1e6:.1f} us", f"{added / floor:.2f} x handwritten")


def step(rounds: int) -> None:
    """Each agent step, on the program's thread."""
    beyond("step", "agent step, program's thread", rounds)


def unread(rounds: int) -> None:
    """Each agent step, where nobody reads what has come."""
    beyond("unread", "agent step, nobody ever reads", rounds, ("none", "handwritten", "tachograph"))


def whole(rounds: int) -> None:
    """Each agent step, whole process."""
    beyond("whole", "agent step, process, collected", max(1, rounds // 3))


def scaling(rounds: int) -> None:
    """Step 200 against step 10."""
    for mode, ratio in medians("scaling", ("none", "handwritten", "tachograph"), rounds).items():
        row("step 200 against step 10", mode, f"{ratio:.2f} x")


def chunk(rounds: int) -> None:
    """Each chunk of a stream."""
    took = medians("chunk", modes_here(*ALL_MODES, "in_its_span"), rounds)
    for mode, value in took.items():
        ratios = (f"{value / took[base]:.2f} x {base}" for base in ("handwritten", "in_its_span"))
        row("streamed chunk", mode, f"{value * 1e6:.2f} us", ", ".join(ratios))


def slow(rounds: int) -> None:
    """A model that takes its time."""
    took = medians("slow", ("none", "tachograph"), max(1, rounds // 5))
    row("model of 300 ms, whole program", "tachograph", f"{(took['tachograph'] / took['none'] - 1) * 100:+.2f} %")


def kept(rounds: int) -> None:
    """A store, for a program that is recorded."""
    for what, title in (("step", "agent step, program's thread"), ("paced", "agent step, model of 30 ms")):
        took = medians(what, ("none", "tachograph", "stored"), rounds)
        ratio = f"{took['stored'] / took['tachograph']:.3f} x without"
        row(title, "stored", f"{took['stored'] * 1e6:.1f} us", ratio)


def store(rounds: int) -> None:
    """Operations a second."""
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    ours: list[float] = []
    bare: list[float] = []
    for _ in range(max(3, rounds // 10)):
        folder = Path(tempfile.mkdtemp())
        try:
            _stored_in_turn(folder, ours, bare)
        finally:
            shutil.rmtree(folder)
    took, floor = statistics.median(ours), statistics.median(bare)
    row("stored, each operation", "executemany", f"{floor * 1e6:.1f} us", f"{1 / floor:,.0f} / s")
    row("stored, each operation", "tachograph", f"{took * 1e6:.1f} us", f"{1 / took:,.0f} / s")
    row("stored, rate", "tachograph", f"{floor / took:.2f} x", "of executemany")


def _stored_in_turn(folder: Path, ours: list[float], bare: list[float]) -> None:
    """The same operations into two stores, a batch here, a batch there; seconds for each operation over all of them."""
    from tachograph.store.schema import connect, transaction  # noqa: PLC0415
    from tachograph.store.writer import INSERT, Writer  # noqa: PLC0415

    writer, db = Writer(folder / "ours.db"), connect(folder / "bare.db")
    columns = INSERT[INSERT.index("(") + 1 : INSERT.index(")")]
    took = floor = 0.0
    count = 0
    for batch in _operations(STORED):
        began = time.perf_counter()
        writer.append(batch)
        took += time.perf_counter() - began
        query = f"SELECT {columns} FROM records ORDER BY seq DESC LIMIT {len(batch)}"  # noqa: S608 - the columns are ours
        rows = writer.connection.execute(query).fetchall()[::-1]
        began = time.perf_counter()
        with transaction(db):
            db.executemany(INSERT, rows)
        floor += time.perf_counter() - began
        count += len(batch)
    writer.close()
    db.close()
    ours.append(took / count)
    bare.append(floor / count)


def _operations(count: int) -> Iterator[list[Any]]:
    """Batches of agents' work: requests of twenty operations, sessions of ten requests."""
    from tachograph import names  # noqa: PLC0415
    from tachograph.records import Operation  # noqa: PLC0415

    kinds: tuple[tuple[Any, str], ...] = (("model", "m"), ("tool", "lookup")) * 9 + (("model", "m"), ("agent", "bench"))
    facts = {
        "model": {
            names.OPERATION_NAME: "chat",
            names.PROVIDER_NAME: "openai",
            names.REQUEST_MODEL: "m",
            names.STEP: 3,
            names.INPUT_TOKENS: 1_000,
            names.OUTPUT_TOKENS: 200,
            names.REQUEST_MESSAGES: 7,
            names.REQUEST_TOOLS: 3,
            names.RESPONSE_MODEL: "m-2026",
            names.FINISH_REASONS: ("tool_calls",),
            names.RESPONSE_TOOL_CALLS: 1,
        },
        "tool": {names.TOOL_NAME: "lookup", names.TOOL_TYPE: "function", names.TOOL_CALL_ID: "call_1", names.STEP: 3},
        "agent": {names.AGENT_NAME: "bench", names.STEPS: 10},
    }
    batch = []
    for number in range(count):
        kind, name = kinds[number % 20]
        at = 1_800_000_000_000_000_000 + number * 1_000_000
        ids = os.urandom(8).hex(), kind, name, f"session-{number // 200}", f"{number // 20:032x}"
        parent, trace = f"{number // 20:016x}", f"{number // 20:032x}"
        batch.append(Operation(*ids, at, at + 900, "ok", None, None, "bench", parent, trace, None, facts[kind]))
        if len(batch) == BATCH:
            yield batch
            batch = []


def read(rounds: int) -> None:
    """One session's counters among many."""
    from tachograph import names  # noqa: PLC0415
    from tachograph.ledger import Ledger  # noqa: PLC0415
    from tachograph.records import Operation  # noqa: PLC0415

    ledger, facts = Ledger(max_sessions=10_000), {names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 20}
    kinds: tuple[tuple[Any, str], ...] = (("model", "m"), ("tool", "lookup"), ("model", "m"), ("agent", "bench"))
    for number in range(1_000_000):
        kind, name = kinds[number % 4]
        at = number * 1_000
        session = f"session-{number % 10_000}"
        ledger.apply(Operation(f"{number:016x}", kind, name, session, "c", at, at + 900, "ok", attributes=facts))
    ledger.sessions()
    took = []
    for number in range(rounds * 100):
        began = time.perf_counter()
        ledger.session_metrics(f"session-{number * 37 % 10_000}")
        took.append(time.perf_counter() - began)
    row("counters of one in 10,000 sessions", "tachograph", f"{statistics.median(took) * 1e6:.1f} us")


def bus(rounds: int) -> None:
    """An event to two subscribers."""
    sys.path.insert(0, str(Path(__file__).parent))
    import publishing  # noqa: PLC0415 - nobody else needs it

    took: dict[str, list[tuple[float, float]]] = {"asyncio": [], "tachograph": []}
    for number in range(rounds + WARM_UP):
        for mode, values in took.items():
            value = publishing.MODES[mode]()
            if number >= WARM_UP:
                values.append(value)
    for clock, title in enumerate(("event to two subscribers", "the same, CPU of the process")):
        medians_ = {mode: statistics.median(value[clock] for value in values) for mode, values in took.items()}
        for mode, value in medians_.items():
            row(title, mode, f"{value * 1e6:.1f} us", f"{value / medians_['asyncio']:.2f} x asyncio bus")


MEASURES: dict[str, Callable[[int], None]] = {
    measure.__name__: measure for measure in (step, unread, whole, scaling, chunk, slow, kept, store, read, bus)
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*MEASURES, "paced", []], help="default: everything")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.what[0])
        return
    for name in arguments.what or MEASURES:
        MEASURES[name](arguments.rounds)


if __name__ == "__main__":
    main()
