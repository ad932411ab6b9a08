"""`python -m tests.reliability [ID…]`: the figures at full size, as a table; exit 1 if a bar is missed.

Measure some of them by naming their ids; `--size N` overrides the size, `--list` shows what there is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from tests.reliability.figures import Entry, Figure, NotHere, load_all

COLUMNS = ("id", "what", "bar", "measured", "n", "base")
WIDTHS = (4, 40, 26, 34, 7, 18)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="R20, R27…; all of them when none is named")
    parser.add_argument("--size", type=int, help="another size than the full one")
    parser.add_argument("--list", action="store_true", help="show the figures and measure nothing")
    arguments = parser.parse_args(argv)
    register = load_all()
    unknown = [name for name in arguments.ids if name not in register]
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(register)}")
    chosen = [register[name] for name in arguments.ids or register]
    if arguments.list:
        for entry in chosen:
            print(f"{entry.id}  {entry.what}  (size {entry.full})")
        return 0
    return show([measured(entry, arguments.size or entry.full) for entry in chosen])


def measured(entry: Entry, size: int) -> Figure:
    """One figure, in a folder that is removed afterwards. What is raised is a missed bar, not the end."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"tagger-{entry.id}-", ignore_cleanup_errors=True) as folder:
        try:
            figure = entry.measure(Path(folder), size=size)
        except NotHere as reason:
            figure = _unmeasured(entry, f"not measured here: {reason}", ok=True)
        except Exception as error:
            figure = _unmeasured(entry, f"{type(error).__name__}: {error}", ok=False)
    print(
        f"{entry.id} {'ok' if figure else 'MISSED'} {time.monotonic() - started:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return figure


def _unmeasured(entry: Entry, why: str, *, ok: bool) -> Figure:
    return Figure(entry.id, entry.what, entry.bar, why, 0, entry.base, ok)


def show(figures: Sequence[Figure]) -> int:
    """Print the table, then what missed its bar. The exit code."""
    print(_row(COLUMNS))
    print(_row(tuple("-" * width for width in WIDTHS)))
    for f in figures:
        print(_row((f.id, f.what, f.bar, f.measured, f"{f.n:,}", f.base)))
    missed = [f for f in figures if not f]
    for f in missed:
        print(f"\n{f.id} missed its bar: {f.measured}")
        for note in f.notes:
            print(f"  {note}")
    return 1 if missed else 0


def _row(cells: Sequence[str]) -> str:
    """One row over as many lines as its longest cell needs."""
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS, strict=True)]
    height = max(len(lines) for lines in wrapped)
    return "\n".join(
        " | ".join(
            (lines[i] if i < len(lines) else "").ljust(width)
            for lines, width in zip(wrapped, WIDTHS, strict=True)
        ).rstrip()
        for i in range(height)
    )


if __name__ == "__main__":
    sys.exit(main())
