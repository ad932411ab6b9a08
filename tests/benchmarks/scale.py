"""Large libraries: a night with nothing to do over 100,000 files, and questions to a million rows."""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.harness import Row, benchmark, in_turns, median_s, ratio, tagger, timed
from tests.collections_made import MODEL_ID, make_large_database

N_FILES, N_ROWS = 100_000, 1_000_000
N_DIMS = 560
"""Numbers in an embedding, as the shipped model makes them."""
FOLDER_OF = 12
"""Files in a folder: an album."""
SCAN_BAR, MEMORY_BAR_MB, QUERY_BAR_S = 3.0, 200, 1.0

_WALK = """
import os, sys
def walk(folder):
    n = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                n += walk(entry.path)
            else:
                n += entry.stat(follow_symlinks=False).st_size >= 0
    return n
print(walk(os.fsencode(sys.argv[1])))
"""
_PEAK = """
import runpy, sys
try:
    runpy.run_module("tagger", run_name="__main__", alter_sys=True)
finally:
    status = open("/proc/self/status").read().splitlines()
    print(next(line for line in status if line.startswith("VmHWM")).split()[1], file=sys.stderr)
    sys.stderr.flush()
"""


@benchmark("nothing")
def nothing_to_do(folder: Path, rounds: int) -> list[Row]:
    """A run over 100,000 unchanged files against scandir and stat."""
    music = folder / "music"
    make_tree(music, N_FILES)
    remember_tree(folder / "tagger.db", music, folder)
    took = in_turns(
        {
            "scandir + stat": lambda: timed([sys.executable, "-c", _WALK, str(music)], folder),
            "run": lambda: timed(tagger("run", "--quiet", music), folder),
            "python, click": lambda: timed(tagger("--help"), folder),
        },
        rounds,
    )
    wall = ratio(took["run"], took["scandir + stat"])
    cpu = ratio(took["run"], took["scandir + stat"], cpu=True)
    megabytes = _peak_mb(folder, "run", "--quiet", str(music))
    return [
        Row(f"{N_FILES:,} files: scandir + stat", f"{median_s(took['scandir + stat']):.2f} s"),
        Row(
            "run with nothing to do",
            f"{median_s(took['run']):.2f} s: {wall:.1f} × in wall time, {cpu:.1f} × in processor time",
            f"{SCAN_BAR:.0f} ×",
            wall <= SCAN_BAR,
        ),
        Row("its memory", f"{megabytes:.0f} MB", f"{MEMORY_BAR_MB} MB", megabytes <= MEMORY_BAR_MB),
    ]


def _peak_mb(folder: Path, *arguments: str) -> float:
    """Most memory that a command of the program had."""
    return int(timed([sys.executable, "-c", _PEAK, *arguments], folder).err.split()[-1]) / 1024


def make_tree(music: Path, n: int) -> None:
    """Small files in folders as of a large collection; no two hard-linked, since those may be refused."""
    for start in range(0, n, FOLDER_OF):
        album = music / f"Artist {start // FOLDER_OF % 900}" / f"Album {start // FOLDER_OF}"
        album.mkdir(parents=True)
        for number in range(start, min(start + FOLDER_OF, n)):
            (album / f"{number - start + 1:02d} Title {number}.mp3").write_bytes(b"\xff\xfb\x90\x64")


def remember_tree(database: Path, music: Path, folder: Path) -> None:
    """The database as a run over the tree would have left it: one real outcome, written for all of them."""
    from tagger.bundle import shipped_model_dir
    from tagger.learning.headcard import judge_id
    from tagger.model import load_model
    from tagger.plan import WritePolicy
    from tagger.scan import scan

    card = load_model(shipped_model_dir()).card
    key, model_id = WritePolicy().key(judge_id(card, None)), card.model_id
    found = list(scan([os.fsencode(music)]))
    make_large_database(database, len(found))
    with sqlite3.connect(database) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        conn.executemany(
            "UPDATE tracks SET path = ?, display = ?, root = ?, size_bytes = ?, mtime_ns = ?, "
            "settings_key = ?, model_id = ? WHERE id = ?",
            (
                (t.path, os.fsdecode(t.path), t.root, t.size_bytes, t.mtime_ns, key, model_id, i)
                for i, t in enumerate(found, 1)
            ),
        )
    conn.close()


@benchmark("rows")
def million_rows(folder: Path, rounds: int) -> list[Row]:
    """Each question of the command line and of the dashboard to a database of a million tracks."""
    database = folder / "tagger.db"
    make_large_database(database, N_ROWS, n_dims=N_DIMS)
    rows = [Row(f"{N_ROWS:,} tracks", f"{database.stat().st_size / 2**30:.2f} GB of database")]
    for arguments in (
        ("status",),
        ("ls", "--limit", 50),
        ("ls", "--limit", 50, "--genre", "jazz", "--sort", "confidence"),
        ("ls", "--limit", 50, "--text", "title 7"),
        ("errors",),
        ("runs",),
        ("review",),
        ("similar", _a_path(database)),
    ):
        took = [timed(tagger(*arguments), folder) for _ in range(rounds)]
        name = "similar FILE" if arguments[0] == "similar" else " ".join(map(str, arguments))
        row = _row(f"tagger {name}", min(t.wall_s for t in took))
        cpu_s = min(t.cpu_s for t in took)
        rows.append(replace(row, measured=f"{row.measured}, {cpu_s:.2f} s of processor"))
    megabytes = _peak_mb(folder, "similar", _a_path(database))
    rows.append(
        Row("the memory of that", f"{megabytes:.0f} MB", f"{MEMORY_BAR_MB} MB", megabytes <= MEMORY_BAR_MB)
    )
    rows += [_row(f"dashboard: {name}", _seconds(ask, rounds)) for name, ask in questions(database).items()]
    return rows


def _a_path(database: Path) -> str:
    with sqlite3.connect(database) as conn:
        (path,) = conn.execute("SELECT display FROM tracks WHERE id = 7").fetchone()
    conn.close()
    return str(path)


def _row(what: str, took_s: float) -> Row:
    return Row(what, f"{took_s:.3f} s", f"{QUERY_BAR_S:.0f} s", took_s < QUERY_BAR_S)


def _seconds(ask: Callable[[], object], rounds: int) -> float:
    took = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        ask()
        took.append(time.perf_counter() - started_s)
    return statistics.median(took)


def questions(database: Path) -> dict[str, Callable[[], object]]:
    """What the pages of the dashboard ask, each by its name."""
    from dashboards import queries
    from dashboards.filters import LibraryFilter, prepare
    from tagger import review
    from tagger.store import Store

    store = prepare(Store.open(database, read_only=True))
    every = LibraryFilter()
    first = min(queries.folders(store), key=len) + "/jazz"
    asked: dict[str, Callable[[], object]] = {
        "count": lambda: queries.count(store, every),
        "overview": lambda: queries.overview(store, every),
        "overview of a genre": lambda: queries.overview(store, LibraryFilter(genre="jazz")),
        "overview of a folder": lambda: queries.overview(store, LibraryFilter(folder=first)),
        "overview of a search": lambda: queries.overview(store, LibraryFilter(text="title 7")),
        "folders": lambda: queries.folders(store),
        "years": lambda: queries.years(store),
        "labels": lambda: queries.labels(store),
        "sureness": lambda: queries.sureness(store, MODEL_ID),
        "sure, and refused all the same": lambda: queries.refused(store, MODEL_ID, 0.6),
        "runs": lambda: queries.runs(store),
        "failed": lambda: queries.n_failed(store),
        "review": lambda: review.worklist(store),
        "review, how many": lambda: review.counts(store),
        "search": lambda: queries.tracks(store, LibraryFilter(text="title 7")),
    }
    for order in queries.ORDERS:
        asked[f"page by {order}"] = lambda order=order: queries.tracks(store, every, order=order)
    return asked
