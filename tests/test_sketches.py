"""Sketches of embeddings: their bounds hold, they are never out of date, and what they find is exact."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import tagger.similar
import tagger.sketches
from tagger.batch import run_batch
from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.job import RunOptions, Told
from tagger.similar import LEAST_ALIKE, nearest_in
from tagger.sketches import Comparison, sketch_changes, sketch_of, sketched
from tagger.store import Store
from tagger.store.sketched import BLOCK
from tests.benchmarks.scale import make_tree, remember_tree
from tests.collections_made import MODEL_ID, make_large_database

N = 4 * BLOCK + 100


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "tagger.db"
    make_large_database(path, N, n_dims=12)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of the database, to be changed."""
    copy = tmp_path / "tagger.db"
    copy.write_bytes(made.read_bytes())
    with Store.open(copy) as store:
        yield store


def due(store: Store) -> list[int]:
    return [row[0] for row in store.query("SELECT block FROM unsketched ORDER BY block")]


def vector_of(store: Store, track_id: int) -> NDArray[np.float32]:
    analysis = store.analysis(track_id)
    assert analysis is not None
    return analysis.embedding


def plain_search(
    store: Store, model_id: str, asked: NDArray[np.float32], *, but: int, among: list[int] | None = None
) -> tuple[list[tuple[int, float]], int]:
    """All that is alike, by all the embeddings at once; and how many of them are of another length."""
    rows = store.query(
        "SELECT track_id, embedding FROM analyses JOIN tracks ON id = track_id WHERE analyses.model_id = ? "
        "AND embedding <> x'' AND missing_since_ns IS NULL",
        (model_id,),
    )
    fitting = {i: np.frombuffer(e, "<f4").astype(float) for i, e in rows if len(e) == asked.nbytes}
    mean = np.mean([*fitting.values()], axis=0) if fitting else np.zeros(len(asked))
    alike = []
    for track_id, vector in fitting.items():
        lengths = np.linalg.norm(vector - mean) * np.linalg.norm(asked - mean)
        cosine = float((vector - mean) @ (asked - mean) / lengths) if lengths else 0.0
        if cosine >= LEAST_ALIKE and track_id != but and (among is None or track_id in among):
            alike.append((track_id, cosine))
    return sorted(alike, key=lambda each: (-each[1], each[0])), len(rows) - len(fitting)


NUMBERS = st.one_of(
    st.floats(-3, 3, width=32),
    st.sampled_from([0.0, 1e-30, -1e-6, 1e4, 1e12]),
)


@settings(deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 12), st.floats(0, 100, width=32), st.floats(0.01, 1))
def test_no_similarity_is_outside_its_bounds(
    data: st.DataObject, n: int, n_dims: int, far: float, least: float
) -> None:
    vectors = data.draw(arrays(np.float32, (n, n_dims), elements=NUMBERS)) + np.float32(far)
    mean, other = (data.draw(arrays(np.float32, n_dims, elements=NUMBERS)) for _ in range(2))
    length = np.linalg.norm(other.astype(np.float64))
    direction = (other / max(length, 1e-12)).astype(np.float32)
    sketch = sketch_of(np.arange(n), vectors)
    said = sketch.centre + sketch.measures[0][:, None].astype(np.float64) * sketch.steps
    assert (np.linalg.norm(vectors - said, axis=1) <= sketch.measures[2] * (1 + 1e-5)).all()
    which, lower, upper = Comparison(mean, direction).bounds(sketch, least)
    centred = vectors.astype(np.float64) - mean
    lengths = np.linalg.norm(centred, axis=1)
    cosine = np.divide(centred @ direction.astype(np.float64), lengths, out=np.zeros(n), where=lengths > 0)
    assert (lower <= np.maximum(cosine[which], 0) + 1e-6).all()
    assert (upper >= cosine[which] - 1e-6)[lengths[which] > 0].all()
    assert (np.delete(cosine, which) < least + 1e-6).all()


@pytest.mark.parametrize("near", [30.0, 1.0, 0.1, 1e-3])
@pytest.mark.parametrize("whole", [False, True], ids=["all but one rounded away", "nothing but rounding"])
def test_bounds_hold_where_the_mean_lies_beside_a_track(near: float, whole: bool) -> None:
    rng = np.random.default_rng(0)
    n_left_out = 0
    for _ in range(300):
        n_dims = int(rng.integers(2, 6))
        one = rng.integers(-127, 128, n_dims) if whole else rng.uniform(-0.5, 0.5, n_dims)
        one[0] = 127
        vectors = np.stack([one, -one]).astype(np.float32)  # so that their centre is exactly 0
        mean = (vectors[0] + near * rng.normal(0, 1, n_dims)).astype(np.float32)
        direction = rng.normal(0, 1, n_dims)
        direction = (direction / np.linalg.norm(direction)).astype(np.float32)
        centred = vectors.astype(np.float64) - mean
        cosine = centred @ direction.astype(np.float64) / np.linalg.norm(centred, axis=1)
        which, lower, upper = Comparison(mean, direction).bounds(sketch_of(np.arange(2), vectors), 0.1)
        assert (lower <= np.maximum(cosine[which], 0) + 1e-6).all()
        assert (upper >= cosine[which] - 1e-6).all()
        assert (np.delete(cosine, which) < 0.1 + 1e-6).all()
        n_left_out += 2 - len(which)
    assert n_left_out > 0


def test_bounds_are_narrow_where_embeddings_are_as_usual() -> None:
    rng = np.random.default_rng(0)
    vectors = (5 + rng.normal(0, 1, (BLOCK, 240))).astype(np.float32)
    direction = (vectors[0] - 5) / np.linalg.norm(vectors[0] - 5)
    sketch = sketch_of(np.arange(BLOCK), vectors)
    which, lower, upper = Comparison(np.full(240, 5, np.float32), direction).bounds(sketch, 0.3)
    assert 0 in which and len(which) < 5
    assert (upper - lower).max() < 0.03


IDS = (1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5, 9 * BLOCK)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["hear", "hear", "hear", "copy", "other model", "other length", "silence", "gone", "back",
             "forget", "analysis gone", "sketch"]
        ),
        st.sampled_from(IDS),
        st.integers(0, 30),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(CHANGES, st.integers(1, 9), st.none() | st.lists(st.sampled_from((*IDS, 77, 10**6)), max_size=6))
def test_whatever_happened_the_answer_is_that_of_all_embeddings(
    changes: list[tuple[str, int, int]], k: int, among: list[int] | None
) -> None:
    with Store.open(None) as store:
        for what, track_id, seed in changes:
            _change(store, what, track_id, seed)
        asked = np.random.default_rng(1).normal(0, 1, 5).astype(np.float32)
        exact, n_others = plain_search(store, "m@1", asked, but=2, among=among)
        found, n_skipped = nearest_in(store, "m@1", asked, but=2, k=k, among=among)
        assert n_skipped == n_others
        assert [s for _, s in found] == pytest.approx([s for _, s in exact[:k]], abs=1e-5)
        assert [dict(exact)[i] for i, _ in found] == pytest.approx([s for _, s in found], abs=1e-5)
        assert store.integrity_check() == []


def _change(store: Store, what: str, track_id: int, seed: int) -> None:
    execute = store._conn.execute
    if what == "sketch":
        sketch_changes(store)
        assert due(store) == []
    elif what in ("gone", "back"):
        execute("UPDATE tracks SET missing_since_ns = ? WHERE id = ?", ([None, 9][what == "gone"], track_id))
    elif what == "forget":
        execute("DELETE FROM tracks WHERE id = ?", (track_id,))
    elif what == "analysis gone":
        execute("DELETE FROM analyses WHERE track_id = ?", (track_id,))
    elif what == "copy":
        execute("UPDATE analyses SET embedding = (SELECT embedding FROM analyses ORDER BY track_id LIMIT 1)"
                "WHERE track_id = ?", (track_id,))  # fmt: skip
    else:
        model_id = "n@1" if what == "other model" else "m@1"
        n_dims = {"other length": 3, "silence": 0}.get(what, 5)
        vector = np.random.default_rng(seed).normal(1, 1, n_dims).astype("<f4")
        execute(
            "INSERT INTO tracks (id, path, display, root, size_bytes, mtime_ns, first_seen_ns, updated_ns) "
            "VALUES (?, ?, '', x'', 1, 1, 1, 1) ON CONFLICT DO NOTHING",
            (track_id, b"%d" % track_id),
        )
        execute("UPDATE tracks SET model_id = ? WHERE id = ?", (model_id, track_id))
        execute(
            "INSERT INTO analyses VALUES (?, ?, 1, 1, x'0000', ?) ON CONFLICT DO UPDATE "
            "SET model_id = excluded.model_id, embedding = excluded.embedding",
            (track_id, model_id, vector.tobytes()),
        )


def test_of_many_tracks_only_few_are_looked_at_exactly(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    as_arrays = tagger.similar.as_arrays
    monkeypatch.setattr(
        "tagger.similar.as_arrays", lambda rows, n: looked_at.append(len(rows)) or as_arrays(rows, n)
    )
    asked = vector_of(store, 7)
    found, n_skipped = nearest_in(store, MODEL_ID, asked, but=7, k=20)
    assert sum(looked_at) < N / 20
    expected, _ = plain_search(store, MODEL_ID, asked, but=7)
    assert [i for i, _ in found] == [i for i, _ in expected[:20]] and n_skipped == 0
    assert [s for _, s in found] == pytest.approx([s for _, s in expected[:20]], abs=1e-6)
    every, _ = nearest_in(store, MODEL_ID, asked, but=7, k=N)
    assert [i for i, _ in every] == [i for i, _ in expected]


def test_a_block_is_due_when_an_embedding_changes_and_not_otherwise(store: Store) -> None:
    execute = store._conn.execute
    assert due(store) == [] and store.query("SELECT count(*) FROM sketches") == [(N // BLOCK + 1,)]
    execute("UPDATE tracks SET title = 'x', genre = 'rock', missing_since_ns = NULL")
    execute("UPDATE analyses SET activations = x'00'")
    assert due(store) == []
    for sql in (
        "UPDATE analyses SET embedding = zeroblob(8) WHERE track_id = 5",
        "UPDATE tracks SET missing_since_ns = 1 WHERE id = 513",
        "DELETE FROM tracks WHERE id = 1025",
    ):
        execute(sql)
    assert due(store) == [0, 1, 2]
    assert store.query("SELECT block FROM sketches ORDER BY block") == [(3,), (4,)]
    execute("DELETE FROM analyses WHERE track_id = 2100")
    execute("UPDATE analyses SET track_id = 2100 WHERE track_id = 1600")
    assert due(store) == [0, 1, 2, 3, 4]


def test_what_no_number_says_is_like_nothing(store: Store) -> None:
    asked = vector_of(store, 7)
    before = nearest_in(store, MODEL_ID, asked, but=7, k=5)
    for track_id, value in ((30, np.nan), (31, np.inf), (600, 1e30)):
        vector = np.full(len(asked), value, "<f4")
        store._conn.execute(
            "INSERT INTO tracks (id, path, display, root, size_bytes, mtime_ns, first_seen_ns, updated_ns) "
            "VALUES (?, ?, '', x'', 1, 1, 1, 1)", (N + track_id, b"%d" % track_id),
        )  # fmt: skip
        store._conn.execute(
            "INSERT INTO analyses VALUES (?, ?, 1, 1, x'0000', ?)",
            (N + track_id, MODEL_ID, vector.tobytes()),
        )
    for _ in range(2):
        found, n_skipped = nearest_in(store, MODEL_ID, asked, but=7, k=5)
        assert [i for i, _ in found] == [i for i, _ in before[0]] and n_skipped == 0
        assert [s for _, s in found] == pytest.approx([s for _, s in before[0]], abs=1e-6)
        sketch_changes(store)
    store._conn.execute("UPDATE analyses SET embedding = x'000000' WHERE track_id = 9")
    assert nearest_in(store, MODEL_ID, asked, but=7, k=5)[1] == 1
    sketch_changes(store)
    assert nearest_in(store, MODEL_ID, asked, but=7, k=5)[1] == 1
    assert store.integrity_check() == []


def test_stopped_half_way_it_goes_on_the_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = vector_of(store, 7)
    expected, _ = nearest_in(store, MODEL_ID, asked, but=7, k=9)
    store._conn.execute("UPDATE analyses SET model_id = 'x'")
    store._conn.execute("UPDATE analyses SET model_id = ?", (MODEL_ID,))
    assert len(due(store)) == 5
    asks = iter([None, None, KeyboardInterrupt()])

    def check() -> None:
        if error := next(asks):
            raise error

    monkeypatch.setattr("tagger.sketches._AT_ONCE", 1)
    monkeypatch.setattr("tagger.sketches.check", check)
    with pytest.raises(KeyboardInterrupt):
        sketch_changes(store)
    assert due(store) == [2, 3, 4]
    found, _ = nearest_in(store, MODEL_ID, asked, but=7, k=9)
    assert [i for i, _ in found] == [i for i, _ in expected]
    monkeypatch.undo()
    assert sketch_changes(store) == 3 and sketch_changes(store) == 0


def test_what_a_writer_changes_meanwhile_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = vector_of(store, 7)
    expected = nearest_in(store, MODEL_ID, asked, but=None, k=9)

    def then_changed(*args: object) -> tagger.sketches.Sketched:
        found = sketched(*args)  # type: ignore[arg-type]
        store._conn.execute("UPDATE analyses SET embedding = embedding WHERE track_id IN (7, 600)")
        return found

    monkeypatch.setattr("tagger.similar.sketched", then_changed)
    for _ in range(
        2
    ):  # blocks of which there was a sketch a moment ago; then others, of which there was none
        assert nearest_in(store, MODEL_ID, asked, but=None, k=9) == expected
    assert due(store) == [0, 1]
    monkeypatch.setattr("tagger.similar.sketched", lambda *args: (sketched(*args), sketch_changes(store))[0])
    assert nearest_in(store, MODEL_ID, asked, but=None, k=9) == expected
    assert due(store) == []


def test_blocks_are_searched_by_the_ids_of_their_tracks(store: Store) -> None:
    for sql in (tagger.similar._OF_IDS, tagger.similar._IN_BLOCKS):
        steps = [row[3] for row in store.query(f"EXPLAIN QUERY PLAN {sql}", ("[1]", MODEL_ID))]
        assert any(step.startswith("SEARCH analyses USING INTEGER PRIMARY KEY") for step in steps), steps
    steps = [row[3] for row in store.query(f"EXPLAIN QUERY PLAN {tagger.sketches._IN_BLOCK}", (0, 511))]
    assert "SEARCH analyses USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in steps
    assert "SEARCH tracks USING INTEGER PRIMARY KEY (rowid=?)" in steps


@pytest.mark.parametrize("version", [1, 3])
def test_what_was_there_before_there_were_sketches_is_sketched(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn, conn:
        conn.executescript((Path(__file__).parent / f"schema_v{version}.sql").read_text("utf-8"))
        for track_id in (3, BLOCK + 3, BLOCK + 4, 5 * BLOCK):
            conn.execute(
                "INSERT INTO tracks (id, path, display, root, size_bytes, mtime_ns, first_seen_ns, "
                "updated_ns) VALUES (?, ?, '', x'', 1, 1, 1, 1)", (track_id, b"%d" % track_id),
            )  # fmt: skip
            vector = np.random.default_rng(track_id).normal(0, 1, 5).astype("<f4")
            conn.execute(
                "INSERT INTO analyses VALUES (?, 'm@1', 1, 1, x'0000', ?)", (track_id, vector.tobytes())
            )
    with Store.open(tmp_path / "old.db") as store:
        assert due(store) == [0, 1, 2, 3, 4, 5] and store.integrity_check() == []
        asked = vector_of(store, 3)
        before, _ = nearest_in(store, "m@1", asked, but=None)
        assert sketch_changes(store) == 6
        assert store.query("SELECT block, n FROM sketches ORDER BY block") == [(0, 1), (1, 2), (5, 1)]
        found, _ = nearest_in(store, "m@1", asked, but=None)
        assert [i for i, _ in found] == [i for i, _ in before] and found[0][0] == 3
        assert store.integrity_check() == []


def test_sketches_that_lack_tracks_are_found(store: Store) -> None:
    assert store.integrity_check() == []
    store._conn.execute("DELETE FROM sketches WHERE block = 1")
    assert store.integrity_check() == ["the sketches of embeddings do not match the embeddings"]


def test_a_run_sketches_what_changed_and_a_dry_run_does_not(tmp_path: Path) -> None:
    make_tree(tmp_path / "music", 30)
    remember_tree(tmp_path / "tagger.db", tmp_path / "music", tmp_path)
    options = RunOptions(roots=(os.fsencode(tmp_path / "music"),), model_dir=str(shipped_model_dir()))
    card = read_card(shipped_model_dir())
    with Store.open(tmp_path / "tagger.db") as store:
        (tmp_path / "music" / "Artist 0" / "Album 0" / "01 Title 0.mp3").unlink()
        run_batch(store, card, replace(options, dry_run=True), Told())
        assert due(store) == [] and store.query("SELECT n FROM sketches") == [(30,)]
        run_batch(store, card, options, Told())
        assert due(store) == [] and store.query("SELECT n FROM sketches") == [(29,)]
        store._conn.execute("UPDATE analyses SET embedding = zeroblob(8) WHERE track_id = 9")
        run_batch(store, card, replace(options, dry_run=True), Told())
        assert due(store) == [0]
        run_batch(store, card, options, Told())
        assert due(store) == []
        assert store.query("SELECT n, n_bytes FROM sketches ORDER BY n") == [(1, 8), (28, 512)]
        asked: list[str] = []
        store._conn.set_trace_callback(asked.append)
        run_batch(store, card, options, Told())
        store._conn.set_trace_callback(None)
        assert sum(" unsketched" in sql for sql in asked) == 1, "with nothing to do it is one question"
