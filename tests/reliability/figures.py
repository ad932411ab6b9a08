"""What a figure is, and the register of all of them.

A figure is a function of a scratch folder and a size; `@figure` gives it its row of the table:

    @figure("R20", what="good and bad files through the program", bar="100/100, 25/25", full=100)
    def hostile(folder: Path, *, size: int) -> Measured: ...

pytest calls it in reduced size (`hostile(tmp_path, size=20)`), `python -m tests.reliability` with `full`.
Any module of this package that registers figures is found by `load_all`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Protocol


class NotHere(Exception):
    """The figure cannot be measured on this machine; the message says why. Not a miss, but not a pass."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a figure's function found out."""

    ok: bool
    """Whether the bar was reached."""
    text: str
    """The measured values, in the order of the bar."""
    n: int
    """How many files, kills, mutations… they were measured over."""
    notes: tuple[str, ...] = ()
    """What missed the bar, one line each; printed below the table."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    id: str
    what: str
    bar: str
    measured: str
    n: int
    base: str
    """What the plain libraries do; empty where there is nothing to compare with."""
    ok: bool
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ok


class Measure(Protocol):
    """A registered figure: call it with an empty folder and a size."""

    def __call__(self, folder: Path, *, size: int) -> Figure: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the register."""

    id: str
    what: str
    bar: str
    base: str
    full: int
    """The size of the full measurement."""
    measure: Measure


REGISTER: dict[str, Entry] = {}


def figure(
    id: str, *, what: str, bar: str, base: str = "", full: int = 1
) -> Callable[[Callable[..., Measured]], Measure]:
    """Register a figure. `full` is the size `python -m tests.reliability` calls it with."""

    def register(function: Callable[..., Measured]) -> Measure:
        @wraps(function)
        def measure(folder: Path, *, size: int) -> Figure:
            found = function(folder, size=size)
            return Figure(id, what, bar, found.text, found.n, base, found.ok, found.notes)

        if id in REGISTER:
            raise ValueError(f"figure {id} is registered twice")
        REGISTER[id] = Entry(id, what, bar, base, full, measure)
        return measure

    return register


def load_all() -> dict[str, Entry]:
    """Import every module of this package; the register in the order of the ids."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in ("__main__", "figures"):
            importlib.import_module(f"{__package__}.{module.name}")
    return dict(sorted(REGISTER.items()))
