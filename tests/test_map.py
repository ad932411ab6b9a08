"""The map: computed by a command, the same each time, honest about its age."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tagger.atlas import make_map, map_places, map_state
from tagger.store import Store
from tests.collections_made import Made, analysis_of, make_database, some_tracks
from tests.inprocess import Here, here

__all__ = ["here"]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "tagger.db"
    path.parent.mkdir()
    make_database(path, some_tracks(40))
    return path


def test_the_command_stores_a_map_and_says_so(db: Path, here: Here) -> None:
    with Store.open(db, read_only=True) as store:
        assert map_state(store) is None and map_places(store, limit=10).n_all == 0
    done = here("map")
    assert done.code == 0 and "40 tracks mapped as made@1 hears them" in done.out
    with Store.open(db, read_only=True) as store:
        first = map_places(store, limit=1000)
        assert first.n_all == len(first.ids) == 40 and np.abs(first.at).max() == pytest.approx(1)
        some = map_places(store, limit=7)
        assert len(some.ids) == 7 and some.n_all == 40 and set(some.ids) <= set(first.ids)
        assert (map_places(store, limit=7).ids == some.ids).all()
        state = map_state(store)
        assert state is not None and state.is_current and state.n_tracks == 40
    assert here("map", "--json").lines == [{"tracks": 40, "model": "made@1", "left_out": 0}]
    with Store.open(db, read_only=True) as store:
        assert (map_places(store, limit=1000).at == first.at).all(), "the same music, the same map"
        genre_of = {row.id: row.path.split(b"/")[2] for row in store.list_tracks()}
    # Tracks of a genre lie nearer to one another than to others: what a map is for.
    apart = np.linalg.norm(first.at[:, None] - first.at[None], axis=2)
    genres = np.array([genre_of[int(i)] for i in first.ids])
    same = (genres[:, None] == genres[None]) & ~np.eye(len(genres), dtype=bool)
    assert apart[same].mean() < 0.7 * apart[genres[:, None] != genres[None]].mean()


def test_a_library_that_has_moved_on(db: Path, here: Here) -> None:
    from tagger.tracks import FileTags, GenreState, Heard, Track

    assert here("map").code == 0
    with Store.open(db) as store:
        path = b"/music/new.mp3"
        heard = Heard(path, 1, 1, b"x" * 16, FileTags("mp3", GenreState()), analysis_of("jazz"))
        run_id = store.begin_run("scan", model_id="made@1", options={}, version="1")
        store.record_heard(run_id, Track(path, b"/music", 1, 1), heard, model_id="made@1")
        state = map_state(store)
        assert state is not None and state.n_since == 1 and not state.is_current
        store.mark_missing([b"/music/jazz"], set())
        assert map_places(store, limit=100).n_all == 36
        store.prune_missing()
        assert store.query("SELECT count(*) FROM map_points")[0][0] == 36, "gone with their tracks"


def test_embeddings_of_another_length_have_no_place(db: Path, here: Here) -> None:
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE analyses SET embedding = substr(embedding, 1, 32) WHERE track_id <= 3")
    done = here("map")
    assert done.code == 0 and "37 tracks mapped" in done.out and "3 tracks left out" in done.err


def test_nothing_to_map(tmp_path: Path, here: Here) -> None:
    assert here("map").code == 3
    (tmp_path / "data").mkdir()
    make_database(tmp_path / "data" / "tagger.db", [])
    nothing = here("map")
    assert nothing.code == 3 and "nothing to map" in nothing.err
    make_database(tmp_path / "one.db", [Made(b"/music/a.mp3")])
    assert "1 track mapped" in here("map", "--db", tmp_path / "one.db").out
    with Store.open(tmp_path / "one.db") as store:
        make_map(store)
        assert map_places(store, limit=5).at.tolist() == [[0, 0]]
