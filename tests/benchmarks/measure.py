"""What recording costs: ratios of medians from interleaved rounds, in one run.

    python tests/benchmarks/measure.py [step] [whole] [scaling] [chunk] [slow] [read] [bus] [--rounds 60]

Every mode (see `programs.py`) is a process of its own that is asked in turn, so that whatever else the machine does
falls on all of them. Without names everything is measured. OpenInference's package is measured where it is installed.

- step: CPU time on the program's thread for each step of an agent (one model call, one tool call), beyond the program
  alone, against the same spans and metrics written by hand.
- whole: the same for the whole process, its exporting thread and a reader that collects every 200 steps included.
- scaling: step 200 against step 10, replayed without the framework's own work.
- chunk: each chunk of a stream, against a hand-written pass-through iterator that looks for the same.
- slow: wall time of a program whose model takes 300 ms a call, against the program alone.
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
    from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYTHONHASHSEED", "0")
STEPS, CHUNKS, WARM_UP, STARTS = 20, 2_000, 3, 6
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
    rival = importlib.util.find_spec("openinference") is not None
    return tuple(mode for mode in wanted if mode != "openinference" or rival)


def row(what: str, mode: str, figure: str, ratio: str = "") -> None:
    """One line of the table."""
    print(f"{what:34} {mode:14} {figure:>12} {ratio:>20}", flush=True)


def beyond(what: str, title: str, rounds: int) -> None:
    """What each mode adds to the program alone, against what writing by hand adds."""
    took = medians(what, modes_here(*ALL_MODES), rounds)
    floor = took["handwritten"] - took["none"]
    for mode, value in took.items():
        if mode != "none":
            added = value - took["none"]
            row(title, mode, f"{added * 1e6:.1f} us", f"{added / floor:.2f} x handwritten")


def step(rounds: int) -> None:
    """Each agent step, on the program's thread."""
    beyond("step", "agent step, program's thread", rounds)


def whole(rounds: int) -> None:
    """Each agent step, whole process."""
    beyond("whole", "agent step, process, collected", max(1, rounds // 3))


def scaling(rounds: int) -> None:
    """Step 200 against step 10."""
    for mode, ratio in medians("scaling", ("none", "handwritten", "tachograph"), rounds).items():
        row("step 200 against step 10", mode, f"{ratio:.2f} x")


def chunk(rounds: int) -> None:
    """Each chunk of a stream."""
    took = medians("chunk", modes_here(*ALL_MODES), rounds)
    for mode, value in took.items():
        row("streamed chunk", mode, f"{value * 1e6:.2f} us", f"{value / took['handwritten']:.2f} x handwritten")


def slow(rounds: int) -> None:
    """A model that takes its time."""
    took = medians("slow", ("none", "tachograph"), max(1, rounds // 5))
    row("model of 300 ms, whole program", "tachograph", f"{(took['tachograph'] / took['none'] - 1) * 100:+.2f} %")


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
    measure.__name__: measure for measure in (step, whole, scaling, chunk, slow, read, bus)
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*MEASURES, []], help="default: everything")
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
