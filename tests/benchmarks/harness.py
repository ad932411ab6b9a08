"""What a benchmark is, the register of all of them, and how processes are timed beside each other.

A machine is never idle for long, and no two runs find it alike. So competitors take turns, A B C A B C, and
what is reported is the median of the ratios within a round: whatever else the machine was doing, it did to
all of them.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import resource
import sqlite3  # noqa: F401  # before TensorFlow, which brings another that knows no full-text search
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NotHere(Exception):
    """The benchmark cannot be run on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    bar: str = ""
    ok: bool | None = None
    """None where there is nothing to reach."""


@dataclass(frozen=True, slots=True)
class Took:
    """One process, from start to end."""

    wall_s: float
    cpu_s: float
    """Of the process and all of its children."""
    out: str
    err: str


Benchmark = Callable[[Path, int], list[Row]]
"""Given an empty folder and how many rounds to run."""

REGISTER: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a function under a name of the command line."""

    def add(function: Benchmark) -> Benchmark:
        REGISTER[name] = function
        return function

    return add


def load_all() -> dict[str, Benchmark]:
    """Import every module of this package; the register."""
    package = importlib.import_module("tests.benchmarks")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"tests.benchmarks.{module.name}")
    return REGISTER


def environment(folder: Path, **more: str) -> dict[str, str]:
    """For the program under test: its own database and configuration below `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAGGER_")}
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "PYTHONPATH": str(ROOT)}
    return kept | home | {"TAGGER_DB": str(folder / "tagger.db"), "TF_CPP_MIN_LOG_LEVEL": "3"} | more


def timed(command: Sequence[str], folder: Path, *, ok: Sequence[int] = (0,), timeout_s: float = 3600) -> Took:
    """Run one process to its end.

    Raises
    ------
    RuntimeError
        It ended otherwise than with one of the codes in `ok`.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, timeout=timeout_s, check=False
    )
    wall_s = time.perf_counter() - started_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in ok:
        raise RuntimeError(f"{command[1:5]} ended with {done.returncode}: {done.stderr.decode()[-800:]}")
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Took(wall_s, cpu_s, out, err)


def tagger(*args: object) -> list[str]:
    """A command of the program."""
    return [sys.executable, "-m", "tagger", *map(str, args)]


def in_turns(competitors: Mapping[str, Callable[[], Took]], rounds: int) -> dict[str, list[Took]]:
    """Run all of them in each round, in their order."""
    took: dict[str, list[Took]] = {name: [] for name in competitors}
    for number in range(rounds):
        for name, run in competitors.items():
            took[name].append(run())
            last = took[name][-1]
            say(f"  round {number + 1}: {name} {last.wall_s:.2f} s, {last.cpu_s:.2f} s of processor")
    return took


def ratio(one: Sequence[Took], other: Sequence[Took], *, cpu: bool = False) -> float:
    """Median over the rounds of how many times as long `one` took as `other`."""
    return statistics.median(
        (a.cpu_s / b.cpu_s) if cpu else (a.wall_s / b.wall_s) for a, b in zip(one, other, strict=True)
    )


def median_s(took: Sequence[Took], *, cpu: bool = False) -> float:
    """Median wall time, or of the processor."""
    return statistics.median(t.cpu_s if cpu else t.wall_s for t in took)


def say(message: str) -> None:
    """Progress, beside the table."""
    print(message, file=sys.stderr, flush=True)


def machine() -> dict[str, object]:
    """What it was measured on, and what else that machine was doing."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1_5_15_min": [round(x, 2) for x in os.getloadavg()],
    }


def rows_as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """For `--json`."""
    return [asdict(row) for row in rows]
