"""A night with nothing to do: which files are passed over by the hundred, and that no changed one is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.batch import run_batch
from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.job import RunOptions, Told
from tagger.learning.headcard import judge_id
from tagger.plan import WritePolicy
from tagger.store import Store
from tagger.store.recognition import WRITTEN_AGAIN, Ids, rows_of, settled
from tagger.store.tables import SETTLED
from tagger.tracks import Outcome, Status, Track
from tests.benchmarks.scale import make_tree, remember_tree

N = 1_300
KEY = WritePolicy().key(judge_id(read_card(shipped_model_dir()), None))


class Counted(Told):
    """A report that is content with numbers."""

    def __init__(self) -> None:
        super().__init__(wants_each=False)
        self.n_unchanged = 0

    def unchanged(self, n: int) -> None:
        self.n_unchanged += n


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `N` files, and the database as a run over them left it."""
    folder = tmp_path_factory.mktemp("remembered")
    make_tree(folder / "music", N)
    remember_tree(folder / "tagger.db", folder / "music", folder)
    return folder


@pytest.fixture
def store(remembered: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of the database, to be changed."""
    copy = tmp_path / "tagger.db"
    copy.write_bytes((remembered / "tagger.db").read_bytes())
    with Store.open(copy) as store:
        yield store


def again(store: Store, folder: Path, told: Told, **options: object) -> dict[Status, int]:
    """Counts of one more run over the folder; nothing may have to be listened to."""
    chosen = RunOptions(roots=(os.fsencode(folder / "music"),), model_dir=str(shipped_model_dir()))
    summary = run_batch(store, read_card(shipped_model_dir()), replace(chosen, **options), told)  # type: ignore[arg-type]
    assert summary.n_listened == 0
    return dict(summary.counts)


def tracks_of(store: Store) -> list[Track]:
    return [Track(row.path, row.root, row.size_bytes, row.mtime_ns) for row in store.iter_tracks()]


def test_all_of_a_quiet_night_is_counted_and_nothing_is_missing(remembered: Path, store: Store) -> None:
    counted, told = Counted(), Told()
    assert again(store, remembered, counted) == again(store, remembered, told) == {Status.UNCHANGED: N}
    assert (counted.n_unchanged, counted.outcomes) == (N, [])
    assert len(told.outcomes) == len({outcome.path for outcome in told.outcomes}) == N
    assert all(outcome.reason for outcome in told.outcomes)
    assert [run.counts for run in store.runs(2)] == [{"unchanged": N}] * 2
    assert store.missing_ids() == set()


def test_a_quiet_night_asks_little_and_writes_next_to_nothing(remembered: Path, store: Store) -> None:
    asked: list[str] = []
    store._conn.set_trace_callback(asked.append)
    again(store, remembered, Counted())
    store._conn.set_trace_callback(None)
    written = [sql for sql in asked if sql.split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert len(asked) < 30
    assert {sql.split("runs")[0] for sql in written} == {"UPDATE ", "INSERT INTO "}  # the run alone


def test_what_the_row_says_decides_who_is_passed_over(store: Store) -> None:
    tracks = tracks_of(store)[:12]
    ids = [row.id for row in rows_of(store, tracks).values()]
    assert settled(store, tracks, KEY) == dict(enumerate(ids))
    changes = (
        "size_bytes = size_bytes + 1",
        "mtime_ns = mtime_ns - 1",
        "settings_key = 'another'",
        "model_id = NULL",
        "status = NULL",
        "missing_since_ns = 1",
        *(f"status = '{s}'" for s in (Status.REFUSED, Status.FAILED, Status.CHANGED_MEANWHILE)),
    )
    for track, change in zip(tracks, changes, strict=False):
        store._conn.execute(f"UPDATE tracks SET {change} WHERE path = ?", (track.path,))
    assert settled(store, tracks, KEY) == dict(list(enumerate(ids))[len(changes) :])
    assert settled(store, tracks, KEY + "-scan") == {}
    assert settled(store, [tracks[-1]._replace(path=b"/elsewhere.mp3")], KEY) == {}


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CHANGED_MEANWHILE])
def test_both_ways_end_alike(remembered: Path, store: Store, status: Status) -> None:
    """The files passed over are those that a look at each of them would have left unchanged, no others."""
    store._conn.execute("DELETE FROM analyses")  # not of the model's genres: what is stored is decided on
    store._conn.execute("UPDATE tracks SET status = ? WHERE id % 100 = 0", (status.value,))
    told, counted = Told(), Counted()
    ends = [again(store, remembered, report, dry_run=True) for report in (told, counted)]
    assert ends[0] == ends[1]
    passed_over = counted.n_unchanged
    assert passed_over + len(counted.outcomes) == N
    looked_at = {outcome.path: outcome for outcome in told.outcomes}
    assert all(looked_at[outcome.path] == outcome for outcome in counted.outcomes)


def test_a_file_that_changed_is_never_passed_over(remembered: Path, store: Store) -> None:
    tracks = tracks_of(store)
    for number in (0, 499, 500, N - 1):  # where one question ends and the next begins
        store._conn.execute(
            "UPDATE tracks SET mtime_ns = mtime_ns + 1 WHERE path = ?", (tracks[number].path,)
        )
    done = settled(store, tracks, KEY)
    assert set(range(N)) - done.keys() == {0, 499, 500, N - 1}
    assert all(rows.id == done[n] for n, rows in enumerate(store.iter_tracks()) if n in done)


def test_what_was_missing_and_is_back_is_no_longer_marked(remembered: Path, store: Store) -> None:
    store._conn.execute("UPDATE tracks SET missing_since_ns = 5 WHERE id IN (3, 700)")
    assert again(store, remembered, Counted()) == {Status.UNCHANGED: N}
    assert store.missing_ids() == set()


def test_one_that_is_gone_is_missed(remembered: Path, store: Store) -> None:
    store._conn.execute(
        "INSERT INTO tracks (path, display, root, size_bytes, mtime_ns, first_seen_ns, updated_ns) "
        "SELECT CAST(path || '.' AS BLOB), display, root, 1, 1, 1, 1 FROM tracks WHERE id = 5"
    )
    again(store, remembered, Counted())
    assert store.missing_ids() == {N + 1}


def test_a_question_goes_by_the_index_of_paths(store: Store) -> None:
    plans: list[str] = []

    def explain(sql: str) -> None:
        if sql.startswith("WITH files"):
            plans.append(sql)

    store._conn.set_trace_callback(explain)
    settled(store, tracks_of(store)[:3], KEY)
    store._conn.set_trace_callback(None)
    (steps,) = [store._conn.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in plans[-1:]]
    searched = (
        "SEARCH tracks USING INDEX tracks_settled (path=? AND size_bytes=? AND mtime_ns=? AND settings_key=?)"
    )
    assert searched in [step[3].replace("COVERING ", "") for step in steps]


def test_the_index_leaves_out_what_is_written_again() -> None:
    named = re.findall("'(.+?)'", SETTLED)
    assert set(named) == WRITTEN_AGAIN


@given(st.lists(st.lists(st.integers(1, 5000), max_size=4), max_size=6))
def test_ids_are_a_set(parts: list[list[int]]) -> None:
    ids, wanted = Ids(), set[int]()
    for part in parts:
        ids.update(part)
        wanted |= set(part)
    assert {i for i in range(1, 12_000) if i in ids} == wanted
    assert "1" not in ids


def test_a_database_that_fails_meanwhile_is_told_in_words(store: Store) -> None:
    from tagger.errors import StoreError

    tracks = tracks_of(store)[:1]
    store._conn.execute("ALTER TABLE tracks RENAME TO elsewhere")
    with pytest.raises(StoreError, match="no such table"):
        settled(store, tracks, KEY)


def test_outcomes_of_a_failure_are_told_one_by_one(remembered: Path, store: Store) -> None:
    store._conn.execute(
        "UPDATE tracks SET model_id = NULL, status = 'unreadable', digest = x'00' WHERE id = 9"
    )
    counted = Counted()
    again(store, remembered, counted)
    assert [type(o) for o in counted.outcomes] == [Outcome]
    assert "not tried again" in counted.outcomes[0].reason
