"""`python -m tests.benchmarks [NAME…]`: how fast and how small, as a table; exit 1 if a bar is missed.

Real music is looked for in TAGGER_TEST_DATA (default ../shared/data). `--rounds N` repeats each measurement,
`--json OUT` keeps the figures, `--list` shows what there is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.harness import NotHere, Row, load_all, machine, rows_as_json, say


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them when none is named")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file too")
    parser.add_argument("--list", action="store_true", help="show the names and measure nothing")
    arguments = parser.parse_args(argv)
    register = load_all()
    unknown = [name for name in arguments.names if name not in register]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(register)}")
    if arguments.list:
        for name, function in register.items():
            print(f"{name:12} {(function.__doc__ or '').splitlines()[0]}")
        return 0
    before = machine()
    results: dict[str, list[Row]] = {}
    for name in arguments.names or register:
        say(f"{name}…")
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            try:
                results[name] = register[name](Path(folder), arguments.rounds)
            except NotHere as reason:
                results[name] = [Row(name, f"not measured: {reason}")]
    describe = {"before": before, "load_after": machine()["load_1_5_15_min"], "rounds": arguments.rounds}
    show(results, describe)
    if arguments.json:
        kept = {"machine": describe, "results": {name: rows_as_json(rows) for name, rows in results.items()}}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return int(any(row.ok is False for rows in results.values() for row in rows))


def show(results: dict[str, list[Row]], describe: dict[str, object]) -> None:
    """The table."""
    print(json.dumps(describe))
    width = max(len(row.what) for rows in results.values() for row in rows)
    for name, rows in results.items():
        print(f"\n{name}")
        for row in rows:
            verdict = {None: "", True: f"  (bar {row.bar})", False: f"  MISSED (bar {row.bar})"}[row.ok]
            print(f"  {row.what:{width}}  {row.measured}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
