"""The database file: opened, refused, migrated, read beside a writer, and whole after a kill."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tagger.errors import StoreError
from tagger.store import Store, connection, schema
from tagger.tracks import (
    FileTags,
    GenreEstimate,
    GenreState,
    Heard,
    Outcome,
    Status,
    TagEdit,
    Track,
    TrackAnalysis,
)

MODEL = "gtzan@1"
SCHEMAS = {
    version: (Path(__file__).parent / f"schema_v{version}.sql").read_text("utf-8") for version in (1, 2, 3, 4)
}


def add_track(store: Store, run_id: int, path: bytes) -> int:
    """One whole track in one transaction."""
    analysis = TrackAnalysis(np.ones((120, 10), np.float16), np.ones(64, np.float32), 240.0, 240.0)
    heard = Heard(path, 1000, 5, path[-16:], FileTags("mp3", GenreState(), title="Song"), analysis)
    estimate = GenreEstimate("rock", 0.9, {"rock": 0.9, "pop": 0.1})
    with store.transaction():
        track_id = store.record_heard(
            run_id, Track(path, b"/music", 1000, 5), heard, model_id=MODEL, estimate=estimate
        )
        store.set_outcome(run_id, track_id, Outcome(path, Status.TAGGED, "heard", "Rock"), settings_key="k")
    return track_id


def fill(path: Path, n: int = 3) -> None:
    with Store.open(path) as store:
        run_id = store.begin_run("run", model_id=MODEL, options={}, version="0.1")
        for i in range(n):
            add_track(store, run_id, b"/music/%d.mp3" % i)
        edit = TagEdit(GenreState(), GenreState(("Rock",)))
        edit_id = store.intend(run_id, 1, b"/music/0.mp3", edit, size_bytes=1, mtime_ns=1)
        store.settle(edit_id, "done", size_bytes=2, mtime_ns=2)
        store.finish_run(run_id, state="done", exit_code=0, counts={"tagged": n})


def snapshot(folder: Path) -> dict[str, str]:
    """What is in a folder, by name."""
    return {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() if entry.is_file() else "not a file"
        for entry in sorted(folder.iterdir())
    }


def set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {version}")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "library.sqlite"


# --- opening ---


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_a_new_database_is_made_with_its_folder(tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    path = tmp_path / "new" / "data" / "library.sqlite"
    with Store.open(kind(path)) as store:
        assert store.summary().n_tracks == 0
        assert store.notices == ()
        assert not store.read_only
        pragmas = {
            name: store._conn.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "application_id", "user_version")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "application_id": schema.APPLICATION_ID,
        "user_version": schema.schema_version(),
    }
    assert snapshot(path.parent).keys() == {"library.sqlite"}


def test_a_name_that_is_not_text_is_a_name(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/m\xfcsic ?#%41.sqlite"
    with Store.open(path) as store:
        store.begin_run("run", model_id=None, options={}, version="0.1")
    assert os.listdir(os.fsencode(tmp_path)) == [b"m\xfcsic ?#%41.sqlite"]
    with Store.open(path, read_only=True) as store:
        assert len(store.runs()) == 1


def test_what_is_written_is_there_when_opened_again(db: Path) -> None:
    fill(db)
    with Store.open(db) as store:
        assert store.count_tracks() == 3
        assert store.runs()[0].state == "done"
        assert store.integrity_check() == []


def test_an_empty_file_becomes_a_database(db: Path) -> None:
    db.touch()
    with Store.open(db) as store:
        assert store.count_tracks() == 0


def test_closing_twice_is_once(db: Path) -> None:
    store = Store.open(db)
    store.close()
    store.close()
    reader = Store.open(db, read_only=True)
    reader.close()
    reader.close()


def test_in_memory_nothing_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open(None, read_only=True) as store:  # a dry run before there is a database
        run_id = store.begin_run("run", model_id=None, options={}, version="0.1")
        add_track(store, run_id, b"/music/a")
        assert store.count_tracks() == 1
        assert store.integrity_check() == []
    assert snapshot(tmp_path) == {}


def test_two_that_make_the_same_database_at_once(db: Path) -> None:
    errors: list[BaseException] = []
    gate = threading.Barrier(4)

    def make() -> None:
        try:
            gate.wait()
            with Store.open(db) as store:
                store.begin_run("run", model_id=None, options={}, version="0.1")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Store.open(db) as store:
        assert len(store.runs()) == 4


# --- reading only ---


def test_reading_changes_and_leaves_nothing(db: Path) -> None:
    fill(db)
    before = snapshot(db.parent)
    with Store.open(db, read_only=True) as store:
        assert store.read_only
        assert store.count_tracks() == 3
        assert store.analysis(1) is not None
        assert store.integrity_check() == []
    assert snapshot(db.parent) == before


@pytest.mark.parametrize("empty", [True, False])
def test_reading_makes_no_database(db: Path, empty: bool) -> None:
    if empty:
        db.touch()
    before = snapshot(db.parent)
    with pytest.raises(StoreError, match=r"no database at .*library\.sqlite yet: `tagger run FOLDER`"):
        Store.open(db, read_only=True)
    assert snapshot(db.parent) == before


def test_a_reader_cannot_write(db: Path) -> None:
    fill(db)
    with Store.open(db, read_only=True) as store:
        for write in (
            lambda: store.begin_run("run", model_id=None, options={}, version="0.1"),
            lambda: store.set_estimate(1, GenreEstimate(None, 0.0)),
            lambda: store.mark_missing([b"/music"], set()),
            lambda: store.prune_missing(force=True),
            lambda: add_track(store, 1, b"/x"),
        ):
            with pytest.raises(StoreError, match="for reading only"):
                write()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._conn.execute("DELETE FROM tracks")


def test_reading_what_a_killed_run_left_does_not_touch_the_file(db: Path) -> None:
    fill(db)
    script = (
        "import os, sys; from tagger.store import Store; s = Store.open(sys.argv[1])\n"
        "s.begin_run('scan', model_id=None, options={}, version='0.1'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, db], check=False)
    before = snapshot(db.parent)
    assert "library.sqlite-wal" in before
    with Store.open(db, read_only=True) as store:
        assert store.runs()[0].kind == "scan"
    after = snapshot(db.parent)
    assert (after["library.sqlite"], after["library.sqlite-wal"]) == (
        before["library.sqlite"],
        before["library.sqlite-wal"],
    )


def test_a_folder_that_may_not_be_written(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db)
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != os.fsencode(db.parent))
    before = snapshot(db.parent)
    with Store.open(db, read_only=True) as store:
        assert snapshot(db.parent) == before  # not even while it is open
        assert store.count_tracks() == 3
        assert "may not be written" in store.notices[0]


def test_a_reader_may_be_used_in_another_thread(db: Path) -> None:
    fill(db)
    counts: list[int] = []
    with Store.open(db, read_only=True) as store:
        thread = threading.Thread(target=lambda: counts.append(store.count_tracks()))
        thread.start()
        thread.join()
    assert counts == [3]


# --- R42: refused untouched ---


def make_text(path: Path) -> None:
    path.write_text("dear diary, " * 20, encoding="utf-8")


def make_short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00")


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE tracks (id)")


def make_foreign_with_hot_log(path: Path) -> None:
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = wal')\n"
        "c.execute('CREATE TABLE t (a)'); c.commit(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)


def make_foreign_with_hot_journal(path: Path) -> None:
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA cache_size = 1')\n"
        "c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (1)'); c.commit()\n"
        "c.execute('BEGIN'); c.executemany('INSERT INTO t VALUES (?)', [('x' * 3000,)] * 50)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)


def make_newer(path: Path) -> None:
    fill(path)
    set_version(path, schema.schema_version() + 1)


def make_truncated(path: Path) -> None:
    fill(path, 30)
    os.truncate(path, path.stat().st_size // 2)


def make_without_a_table(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("DROP TABLE outcomes")


def make_scrambled(path: Path) -> None:
    fill(path)
    data = bytearray(path.read_bytes())
    data[100:4096] = random.Random(1).randbytes(3996)
    path.write_bytes(data)


REFUSED = [
    (make_text, "is not a database"),
    (make_short, "is not a database"),
    (make_foreign, "another program's database and was left alone"),
    (make_foreign_with_hot_log, "another program's database and was left alone"),
    (make_foreign_with_hot_journal, "another program's database and was left alone"),
    (
        make_newer,
        r"newer version of this program \(its schema is \d+, this program's \d+\) and was left alone",
    ),
    (make_truncated, r"is damaged"),
    (make_without_a_table, r"is damaged \(it has no table outcomes\)"),
    (make_scrambled, r"is damaged"),
    (Path.mkdir, "is not a file"),
    (os.mkfifo, "is not a file"),
]


@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_r42_refused_untouched(db: Path, make: Callable[[Path], None], message: str, read_only: bool) -> None:
    make(db)
    before = snapshot(db.parent)
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(db, read_only=read_only)
    assert str(db) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(db.parent) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_refused(db: Path) -> None:
    fill(db)
    db.chmod(0o444)
    with pytest.raises(StoreError, match="may not be written"):
        Store.open(db)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be"):
        Store.open(tmp_path / "file" / "library.sqlite")


def test_damage_met_later_is_told_in_words(db: Path) -> None:
    fill(db, 200)
    size = db.stat().st_size
    with db.open("r+b") as file:
        for offset in range(4096 * 100, size, 4096):  # beyond the schema's own pages
            file.seek(offset)
            file.write(b"\xaa" * 4096)
    with Store.open(db) as store:
        assert store.integrity_check() != []
        with pytest.raises(StoreError, match=r"is damaged .*restore a copy"):
            list(store.iter_tracks())
            for i in range(1, 201):
                store.analysis(i)


def test_a_full_disk_is_told_and_nothing_is_half_written(db: Path) -> None:
    fill(db)
    with Store.open(db) as store:
        pages = store._conn.execute("PRAGMA page_count").fetchone()[0]
        store._conn.execute(f"PRAGMA max_page_count = {pages + 4}")
        written = 3
        with pytest.raises(StoreError, match="disk is full"):
            for i in range(1000):
                add_track(store, 1, b"/music/new/%d" % i)
                written += 1
        assert store.count_tracks() == written
        assert store.integrity_check() == []


# --- migrations ---


def tables_of(path: Path) -> list[tuple[str, str, list[str]]]:
    """What a schema says, but for the order of a table's columns: a migration adds them at the end."""
    with closing(sqlite3.connect(path)) as conn:
        made = conn.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    said = [(kind, name, re.sub(r"[\s,)]+", " ", sql or "").split()) for kind, name, sql in made]
    return sorted((kind, name, sorted(words) if kind == "table" else words) for kind, name, words in said)


@pytest.fixture(params=SCHEMAS)
def old(db: Path, request: pytest.FixtureRequest) -> Path:
    """A library as a former version left it."""
    with closing(sqlite3.connect(db)) as conn:
        conn.executescript(SCHEMAS[request.param])
        conn.executescript(
            """INSERT INTO runs (kind, state, started_ns, version, options, counts)
            VALUES ('run', 'done', 1, '0.1', '{}', '{}');
            INSERT INTO tracks (path, display, root, size_bytes, mtime_ns, title, file_state, status,
                first_seen_ns, updated_ns, run_id)
            VALUES (x'2f61ff', '/a', x'2f', 1, 2, 'Song', '[["Rock"],17]', 'tagged', 3, 4, 1);
            INSERT INTO edits (run_id, track_id, path, before, after, state, size_before_bytes,
                mtime_before_ns, intended_ns)
            VALUES (1, 1, x'2f61ff', '[[],null]', '[["Rock"],17]', 'done', 1, 1, 1);"""
        )
        conn.commit()
    return db


def check_old_content(store: Store) -> None:
    row = store.find(b"/a\xff")
    assert row is not None
    assert (row.title, row.file_state, row.status) == ("Song", GenreState(("Rock",), 17), Status.TAGGED)
    assert store.last_own_state(row.id) == GenreState(("Rock",), 17)
    assert store.latest_write_run() == 1


def test_r42_former_versions_become_current(old: Path, tmp_path: Path) -> None:
    with Store.open(old) as store:
        check_old_content(store)
        assert store.integrity_check() == []
    fresh = tmp_path / "fresh.sqlite"
    Store.open(fresh).close()
    assert tables_of(old) == tables_of(fresh)


TO_NEXT = ("ALTER TABLE tracks ADD COLUMN mood TEXT NOT NULL DEFAULT ''", "UPDATE tracks SET mood = 'blue'")
TO_LAST = (
    "CREATE TABLE moods (name TEXT PRIMARY KEY) STRICT",
    "INSERT INTO moods SELECT DISTINCT mood FROM tracks",
)


def test_later_versions_are_reached_in_one_transaction(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, TO_NEXT, TO_LAST))
    with Store.open(old) as store:
        assert store._conn.execute("SELECT name FROM moods").fetchall() == [("blue",)]
        assert store._conn.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS) + 1,)
        check_old_content(store)
    monkeypatch.undo()
    before = snapshot(old.parent)
    with pytest.raises(StoreError, match="newer version"):
        Store.open(old)
    assert snapshot(old.parent) == before


@pytest.mark.parametrize(
    "broken", ["SELECT no_such_function()", "DELETE FROM runs"], ids=["error", "rows refer to nothing"]
)
def test_a_migration_that_fails_changes_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    before = snapshot(old.parent)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, TO_NEXT, (*TO_LAST, broken)))
    with pytest.raises(StoreError):
        Store.open(old)
    assert snapshot(old.parent) == before
    monkeypatch.undo()
    with Store.open(old) as store:
        check_old_content(store)


def test_a_killed_migration_changes_nothing(old: Path) -> None:
    script = (
        "import os, sys; from tagger.store import Store, schema\n"
        "import sqlite3; connect = sqlite3.connect\n"
        "def kill(*_): os.kill(os.getpid(), 9)\n"
        "def connect_with(*a, **k):\n"
        "    conn = connect(*a, **k); conn.create_function('kill', 0, kill); return conn\n"
        "sqlite3.connect = connect_with\n"
        f"schema.MIGRATIONS += ({TO_NEXT!r}, (*{TO_LAST!r}, 'SELECT kill()'))\n"
        "Store.open(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", script, old], check=False).returncode == -signal.SIGKILL
    with Store.open(old) as store:
        check_old_content(store)
        assert store.integrity_check() == []
        assert store._conn.execute("PRAGMA user_version").fetchone() == (schema.schema_version(),)


def test_an_older_database_is_not_migrated_by_a_reader(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, TO_NEXT))
    before = snapshot(old.parent)
    with pytest.raises(StoreError, match="older version of this program and is open for reading only"):
        Store.open(old, read_only=True)
    assert snapshot(old.parent) == before


# --- network file systems ---

MOUNTS = [
    b"/dev/sda1 / ext4 rw 0 0",
    b"nas:/music /mnt/nas nfs4 rw 0 0",
    b"/dev/sdb1 /mnt/nas/local ext4 rw 0 0",
    b"//pc/share /mnt/with\\040space cifs rw 0 0",
    b"nas:/x /mnt/covered nfs rw 0 0",
    b"tmpfs /mnt/covered tmpfs rw 0 0",
    b"garbage",
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        (b"/home/me", ""),
        (b"/mnt/nas", "nfs4"),
        (b"/mnt/nas/music/deep", "nfs4"),
        (b"/mnt/nasty", ""),
        (b"/mnt/nas/local/x", ""),
        (b"/mnt/with space/x", "cifs"),
        (b"/mnt/covered/x", ""),
    ],
)
def test_network_file_systems_are_recognised(folder: bytes, kind: str) -> None:
    assert connection.network_file_system(folder, MOUNTS) == kind


def test_on_a_network_file_system_there_is_no_wal(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db)
    monkeypatch.setattr(connection, "network_file_system", lambda _: "nfs4")
    with Store.open(db) as store:
        assert "network file system (nfs4)" in store.notices[0]
        assert store._conn.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        add_track(store, 1, b"/music/x")
        assert snapshot(db.parent).keys() == {db.name}
        with Store.open(db, read_only=True) as reader:
            assert reader.count_tracks() == 4


# --- R41: beside one another ---

WRITER = """
import sys, time
sys.path.insert(0, sys.argv[3])
from tests.test_database import add_track
from tagger.store import Store
end = time.monotonic() + float(sys.argv[2])
n = 0
while time.monotonic() < end:
    with Store.open(sys.argv[1]) as store:
        run_id = store.begin_run("run", model_id="m", options={}, version="0.1")
        for _ in range(50):
            add_track(store, run_id, b"/music/%d.mp3" % n)
            print(n, flush=True)
            n += 1
"""


def start_writer(db: Path, seconds: float) -> subprocess.Popen[str]:
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, db, str(seconds), root], stdout=subprocess.PIPE, text=True, cwd=root
    )


@pytest.mark.parametrize("reopen", [False, True], ids=["one connection", "opened for each page"])
def test_r41_readers_beside_a_writer_are_never_locked_out(db: Path, reopen: bool) -> None:
    fill(db)
    seen: list[int] = []
    slowest = 0.0
    writer = start_writer(db, 2.5)
    reader = Store.open(db, read_only=True)
    try:
        while writer.poll() is None:
            began = time.perf_counter()
            if reopen:
                reader.close()
                reader = Store.open(db, read_only=True)
            summary = reader.summary(MODEL)
            tracks = reader.list_tracks(order="-updated", limit=50)
            assert len(tracks) == min(50, max(summary.n_tracks, len(tracks)))
            reader.outcomes(reader.runs(1)[0].id, limit=50)
            seen.append(summary.n_tracks)
            slowest = max(slowest, time.perf_counter() - began)
    finally:
        reader.close()
        output, _ = writer.communicate()
    assert writer.returncode == 0
    assert len(output.split()) >= 50
    assert len(seen) >= 20
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    assert slowest < 2
    with Store.open(db) as store:
        assert store.integrity_check() == []


def test_a_second_writer_waits_for_the_first(db: Path) -> None:
    fill(db)
    with Store.open(db) as first, Store.open(db) as second:
        holding = threading.Event()

        def hold() -> None:
            with first.transaction():
                holding.set()
                time.sleep(0.4)
                add_track(first, 1, b"/music/first")

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait()
        began = time.monotonic()
        add_track(second, 1, b"/music/second")
        assert time.monotonic() - began > 0.2
        thread.join()
        assert second.count_tracks() == 5


def test_a_second_writer_gives_up_in_words(db: Path) -> None:
    fill(db)
    with Store.open(db) as first, Store.open(db, busy_timeout_s=0.1) as second:
        with first.transaction(), pytest.raises(StoreError, match="is busy: another program"):
            add_track(second, 1, b"/music/second")
        add_track(second, 1, b"/music/second")


def test_a_transaction_sees_what_others_wrote_before_it(db: Path) -> None:
    """A deferred transaction that read first could not write after another writer's commit."""
    fill(db)
    with Store.open(db) as first, Store.open(db) as second:
        assert second.count_tracks() == 3
        add_track(first, 1, b"/music/first")
        with second.transaction():
            assert second.count_tracks() == 4
            add_track(second, 1, b"/music/second")
        assert first.count_tracks() == 5


# --- killed ---


def kill_writers(db: Path, times: int) -> Iterator[tuple[int, Store]]:
    fill(db, 1)
    chance = random.Random(7)
    for _ in range(times):
        writer = start_writer(db, 60)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.25))
        writer.kill()
        told = [first, *writer.stdout.read().splitlines()]
        writer.wait()
        complete = [int(line) for line in told if line.strip()]
        with Store.open(db) as store:
            yield max(complete[:-1] or [0]), store  # the last number may be cut short


def check_after_kills(db: Path, times: int) -> None:
    for last, store in kill_writers(db, times):
        assert store.integrity_check() == []
        for n in range(last + 1):
            row = store.find(b"/music/%d.mp3" % n)
            assert row is not None
            assert row.status is Status.TAGGED
            assert store.analysis(row.id) is not None
        halves = store._conn.execute("SELECT count(*) FROM tracks WHERE status IS NULL").fetchone()
        assert halves == (0,)
        store.begin_run("run", model_id=MODEL, options={}, version="0.1")
        assert [run.state for run in store.runs()].count("running") == 1


def test_what_was_committed_outlives_a_kill(db: Path) -> None:
    check_after_kills(db, 4)


@pytest.mark.slow
def test_what_was_committed_outlives_twenty_kills(db: Path) -> None:
    check_after_kills(db, 20)
