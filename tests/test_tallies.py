"""The counts that triggers keep, and that no question to a large library reads the whole table."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards import queries
from dashboards.filters import GONE, NO_GENRE, LibraryFilter, prepare
from tagger import review
from tagger.store import Store, TrackFilter
from tagger.store.columns import to_json
from tagger.store.rows import TrackRow
from tagger.store.tables import LEAD
from tagger.tracks import display
from tests.collections_made import MODEL_ID, make_large_database

N = 2_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "tagger.db"
    make_large_database(path, N)
    with sqlite3.connect(path) as conn:
        conn.execute("UPDATE tracks SET genre = upper(genre) WHERE id % 90 = 0")
        conn.execute("UPDATE tracks SET missing_since_ns = 1 WHERE id % 70 = 0")
        conn.execute("UPDATE tracks SET year = NULL WHERE id % 11 = 0")
        conn.execute("UPDATE tracks SET year = 90210 WHERE id % 300 = 0")
        conn.execute("UPDATE tracks SET status = 'unreadable', model_id = NULL, confidence = NULL, "
                     "genre = NULL, duration_s = NULL WHERE id % 40 = 0")  # fmt: skip
        conn.execute("INSERT INTO labels (track_id, path, genre, source, at_ns) "
                     "SELECT id, path, 'rock', 'user', 1 FROM tracks WHERE id % 17 = 0")  # fmt: skip
    conn.close()
    return path


@pytest.fixture
def store(large: Path) -> Iterator[Store]:
    with Store.open(large, read_only=True) as opened:
        yield prepare(opened)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "delete"]),
        st.integers(1, 6),
        st.sampled_from(
            [
                ("genre", "jazz"), ("genre", "JAZZ"), ("genre", None), ("status", "tagged"), ("status", None),
                ("year", 1999), ("year", None), ("year", -4), ("confidence", 0.95), ("confidence", 1.0),
                ("confidence", None), ("file_genres", '["Rock"]'), ("file_genres", "[]"),
                ("duration_s", 180.4321), ("duration_s", None), ("missing_since_ns", 5),
                ("missing_since_ns", None), ("title", "a word"),
            ]
        ),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_whatever_is_written_the_counts_are_right(changes: list[tuple[str, int, tuple[str, object]]]) -> None:
    with Store.open(None) as store:
        conn = store._conn
        for what, track_id, (column, value) in changes:
            if what == "insert":
                conn.execute(
                    "INSERT OR IGNORE INTO tracks (id, path, display, root, size_bytes, mtime_ns, "
                    f"first_seen_ns, updated_ns, {column}) VALUES (?, ?, '', x'', 1, 1, 1, 1, ?)",
                    (track_id, b"%d" % track_id, value),
                )
            elif what == "update":
                conn.execute(f"UPDATE tracks SET {column} = ? WHERE id = ?", (value, track_id))
            else:
                conn.execute("DELETE FROM tracks WHERE id = ?", (track_id,))
        assert store.integrity_check() == []
        assert conn.execute("SELECT coalesce(sum(n), 0) FROM tallies").fetchone() == conn.execute(
            "SELECT count(*) FROM tracks"
        ).fetchone()  # fmt: skip
        assert conn.execute("SELECT 1 FROM tallies WHERE n <= 0").fetchone() is None


def test_counts_that_are_wrong_are_found(tmp_path: Path) -> None:
    make_large_database(tmp_path / "t.db", 20)
    with Store.open(tmp_path / "t.db") as store:
        assert store.integrity_check() == []
        store._conn.execute("UPDATE tallies SET n = n + 1")
        assert store.integrity_check() == ["the counts of tracks do not match the tracks"]


@pytest.mark.parametrize(
    "which",
    [
        LibraryFilter(),
        LibraryFilter(genre="jazz"),
        LibraryFilter(genre=NO_GENRE, tagged=True),
        LibraryFilter(status=GONE),
        LibraryFilter(status="uncertain", tagged=False),
        LibraryFilter(years=(1960, 1980)),
        LibraryFilter(years=(1990, None)),
        LibraryFilter(years=(None, 1955)),
    ],
    ids=str,
)
def test_what_is_counted_beforehand_is_what_counting_gives(
    store: Store, which: LibraryFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, n = queries.overview(store, which), queries.count(store, which)
    monkeypatch.setattr(LibraryFilter, "tallied", lambda self: None)
    slow = queries.overview(store, which)
    assert n == queries.count(store, which) == fast["n"].sum() > 0
    for frame in (fast, slow):
        frame["genre"] = frame["genre"].str.lower()
    by = ["genre", "status", "decade", "step"]
    sums = [f.groupby(by, dropna=False)[["n", "n_with_tag", "seconds"]].sum() for f in (fast, slow)]
    assert sums[0].equals(sums[1]) or (sums[0] - sums[1]).abs().max().max() < 0.01 * n
    assert len(sums[0]) == len(sums[1])


def test_what_is_not_counted_beforehand_is_counted_then(store: Store) -> None:
    for which in (
        LibraryFilter(text="title 7"),
        LibraryFilter(artist="artist 3"),
        LibraryFilter(folder="/music/jazz"),
        LibraryFilter(confidence=(0.5, 1.0)),
        LibraryFilter(disagrees=True),
    ):
        assert which.tallied() is None
        assert queries.count(store, which) == queries.overview(store, which)["n"].sum() > 0


def test_the_summary_is_what_counting_gives(store: Store) -> None:
    summary = store.summary()
    for column, counted in (("status", summary.by_status), ("model_id", summary.by_model)):
        sql = (
            f"SELECT {column}, count(*) FROM tracks WHERE missing_since_ns IS NULL AND {column} IS NOT NULL "
        )
        assert dict(store.query(sql + "GROUP BY 1")) == counted
    assert sum(summary.by_genre.values()) == len(store.track_ids(TrackFilter(missing=False))) - len(
        [i for i in store.tracks_of(store.track_ids(TrackFilter(missing=False))) if i.genre is None]
    )
    assert summary.n_missing == len(store.missing_ids())


# --- what to review ---


def lesson_of(row: TrackRow) -> float:
    first, second = [*row.probabilities.values(), 0.0, 0.0][:2]
    disagreeing = bool(row.genre and row.file_genres)
    return max(1 - (first - second), first) if disagreeing else 1 - (first - second)


def test_the_worklist_is_that_of_a_look_at_every_track(store: Store) -> None:
    said = store.said()
    rows = [
        row
        for row in store.iter_tracks()
        if row.missing_since_ns is None and row.id not in said and row.model_id is not None
    ]
    unsure = [row for row in rows if row.genre is None]
    against = [
        row
        for row in rows
        if row.genre is not None and row.file_genres and review.disagree(to_json(row.file_genres), row.genre)
    ]
    wanted = sorted(unsure + against, key=lambda row: (-lesson_of(row), row.id))
    counted = review.counts(store)
    assert (counted["uncertain"], counted["disagreeing"]) == (len(unsure), len(against))
    assert counted["everything"] == len(wanted)
    found = list(store.tracks_of(review.worklist(store, limit=300)))
    assert [round(lesson_of(row), 9) for row in found] == [round(lesson_of(row), 9) for row in wanted[:300]]
    assert {row.id for row in store.tracks_of(review.worklist(store, "uncertain", limit=N))} == {
        row.id for row in unsure
    }
    assert {row.id for row in store.tracks_of(review.worklist(store, "failed", limit=N))} == {
        row.id
        for row in store.iter_tracks()
        if row.status == "unreadable" and row.missing_since_ns is None and row.id not in said
    }


@pytest.mark.parametrize(
    ("stored", "lead"),
    [("{}", 0.0), ('{"a":1.0}', 1.0), ('{"R, B":0.6,"b":0.4}', 0.2), ('{"a":1e-05,"b":0.0}', 1e-05)],
)
def test_the_lead_of_odd_probabilities(stored: str, lead: float) -> None:
    with sqlite3.connect(":memory:") as conn:
        found = conn.execute(f"SELECT {LEAD} FROM (SELECT ? AS probabilities)", (stored,)).fetchone()
    conn.close()
    assert found[0] == pytest.approx(lead)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1, width=16), min_size=2, max_size=4),
)
def test_the_lead_is_read_from_what_is_stored(found: dict[str, float]) -> None:
    inorder = dict(sorted(found.items(), key=lambda item: -item[1]))
    if any(re.search('":|,"|^:|,$', label) for label in inorder):
        return  # no genre is called that
    first, second, *_ = inorder.values()
    with sqlite3.connect(":memory:") as conn:
        sql = f"SELECT {LEAD} FROM (SELECT ? AS probabilities)"
        (lead,) = conn.execute(sql, (to_json(inorder),)).fetchone()
    conn.close()
    assert lead == pytest.approx(first - second, abs=1e-12)


# --- no question reads the whole table ---

QUESTIONS: dict[str, Callable[[Store], object]] = {
    "status": lambda store: store.summary(MODEL_ID),
    "ls": lambda store: store.track_ids(TrackFilter(missing=False), limit=50),
    "ls by genre": lambda store: store.track_ids(
        TrackFilter(missing=False, genre="jazz"), order="confidence", limit=50
    ),
    "ls of a folder": lambda store: store.track_ids(
        TrackFilter(missing=False, folder=b"/music/jazz"), limit=50
    ),
    "is anything known there": lambda store: store.track_ids(TrackFilter(folder=b"/nope"), limit=1),
    "errors": lambda store: store.errors(),
    "runs": lambda store: store.runs(),
    "review": lambda store: review.worklist(store, limit=20),
    "review counts": review.counts,
    "missing": lambda store: store.missing_share(b"/music", set()),
    "count": lambda store: queries.count(store, LibraryFilter()),
    "overview": lambda store: queries.overview(store, LibraryFilter(years=(1970, 1990))),
    "folders": queries.folders,
    "years": queries.years,
    "labels": queries.labels,
    "failed": queries.n_failed,
    "runs of the dashboard": queries.runs,
    "a folder": lambda store: queries.count(store, LibraryFilter(folder="/music/jazz")),
    **{
        f"by {order}": lambda store, order=order: queries.tracks(store, LibraryFilter(), order=order)
        for order in queries.ORDERS
    },
    **{
        f"ls by {order}": lambda store, order=order: store.track_ids(
            TrackFilter(missing=False), order=order, limit=50
        )
        for order in ("artist", "title", "genre", "confidence", "-confidence", "tempo", "-tempo")
    },
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_go_along_an_index(store: Store, name: str) -> None:
    asked: list[str] = []
    store._conn.set_trace_callback(asked.append)
    QUESTIONS[name](store)
    store._conn.set_trace_callback(None)
    assert asked
    for sql in asked:
        steps = [row[3] for row in store._conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        if not re.search(r"ORDER BY id DESC LIMIT", sql):  # the table's own order, as far as the page goes
            assert "SCAN tracks" not in steps, (sql, steps)
        if "LIMIT" in sql and "id IN (SELECT" not in sql and " AS much" not in sql:
            assert not [step for step in steps if "FOR ORDER BY" in step], (sql, steps)


def test_a_folder_is_its_own_tracks(tmp_path: Path) -> None:
    """Both ways to find what lies below a folder: by its bytes, and by how what is no text is shown."""
    make_large_database(tmp_path / "t.db", 4)
    names = [b"/music/a/x.mp3", b"/music/a0/x.mp3", b"/music/a\xff/x.mp3", b"/music/\xc3\xa4/x.mp3"]
    with Store.open(tmp_path / "t.db") as store:
        for track_id, path in enumerate(names, 1):
            store._conn.execute(
                "UPDATE tracks SET path = ?, display = ? WHERE id = ?", (path, display(path), track_id)
            )
        for track_id, path in enumerate(names, 1):
            which = LibraryFilter(folder=display(os.path.dirname(path)))
            assert list(queries.tracks(prepare(store), which)["id"]) == [track_id]
