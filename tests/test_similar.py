"""`tagger similar` and `tagger review`: what sounds alike, and what to ask a person about."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.review import worklist
from tagger.similar import nearest_in
from tagger.store import Store
from tests import media
from tests.collections_made import GENRES, make_database, some_tracks
from tests.inprocess import Here, here
from tests.test_export import parsed

__all__ = ["here"]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "tagger.db"
    path.parent.mkdir()
    make_database(path, some_tracks(40))
    return path


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 70), st.integers(0, 5))
def test_the_nearest_are_those_of_a_plain_search(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1, (n, 5)).astype(np.float32)
    with Store.open(None) as store:
        _fill(store, raw)
        centred = raw - raw.mean(axis=0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        cosine = unit @ unit[0]
        expected = [(i + 1, c) for i, c in enumerate(cosine) if i and c >= 0.1]
        expected.sort(key=lambda each: -each[1])
        near, n_skipped = nearest_in(store, "m@1", raw[0], but=1, k=k)
        assert n_skipped == 0
        assert [cosine[i - 1] for i, _ in near] == pytest.approx([s for _, s in near], abs=1e-4)
        assert [s for _, s in near] == pytest.approx([c for _, c in expected[:k]], abs=1e-4)


def test_of_a_large_library_the_mean_is_drawn_and_little_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.random.default_rng(3).normal(0.5, 1, (4_000, 5)).astype(np.float32)
    with Store.open(None) as store:
        _fill(store, raw)
        store._conn.execute("UPDATE tracks SET missing_since_ns = 1 WHERE id = 7")
        store._conn.execute("UPDATE analyses SET embedding = zeroblob(8) WHERE track_id IN (11, 12)")
        exact, n_skipped = nearest_in(store, "m@1", raw[0], but=1, k=5)
        assert n_skipped == 2
        monkeypatch.setattr("tagger.similar.MEAN_OF", 1_000)
        monkeypatch.setattr("tagger.store.reading._AT_A_TIME", 300)
        drawn, n_skipped = nearest_in(store, "m@1", raw[0], but=1, k=5)
        assert n_skipped == 2
        assert len({i for i, _ in exact} & {i for i, _ in drawn}) >= 4
        assert [s for _, s in drawn] == pytest.approx([s for _, s in exact], abs=0.02)
        assert [i for i, _ in nearest_in(store, "m@1", raw[0], but=1, among=[3, 7, 11])[0]] in ([], [3])
        like = raw[6] * 2 - raw.mean(axis=0)
        assert 7 not in dict(nearest_in(store, "m@1", like, but=None, k=5)[0])
        assert nearest_in(store, "other@1", raw[0], but=None) == ([], 0)


def _fill(store: Store, raw: np.ndarray) -> None:  # type: ignore[type-arg]
    from tagger.tracks import FileTags, GenreState, Heard, Track, TrackAnalysis

    run_id = store.begin_run("run", model_id="m@1", options={}, version="1")
    with store.transaction():
        for i, vector in enumerate(raw):
            path = b"/m/%d.mp3" % i
            analysis = TrackAnalysis(np.zeros((1, 2), np.float16), vector, 4.0, 4.0)
            heard = Heard(path, 1, 1, i.to_bytes(16, "big"), FileTags("mp3", GenreState()), analysis)
            store.record_heard(run_id, Track(path, b"/m", 1, 1), heard, model_id="m@1")


def test_neighbours_of_a_track_and_a_playlist_of_them(db: Path, here: Here, tmp_path: Path) -> None:
    out = tmp_path / "like.m3u8"
    done = here("similar", "/music/jazz/005.mp3", "-n", "3", "--m3u8", out, "--json")
    assert done.code == 0, done.err
    paths = [line["path"] for line in done.lines]
    assert len(paths) == 3 and all(path.startswith("/music/jazz/") for path in paths)
    assert "/music/jazz/005.mp3" not in paths
    assert [path.decode() for path in parsed(out.read_bytes())] == paths
    likeness = [line["similarity"] for line in done.lines]
    assert likeness == sorted(likeness, reverse=True) and likeness[0] <= 1
    table = here("similar", "/music/jazz/005.mp3").out
    assert table.splitlines()[0].split() == ["alike", "genre", "BPM", "track"] and "jazz/" in table
    assert here("similar", "/music/jazz/005.mp3", "--m3u8", tmp_path / "song.mp3").code == 2
    brisk = here("similar", "/music/jazz/005.mp3", "--tempo", "100-200", "--json").lines
    assert brisk and all(line["tempo_bpm"] >= 100 for line in brisk)


def test_copies_and_what_another_version_heard_are_left_out(db: Path, here: Here) -> None:
    with closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE tracks SET digest = (SELECT digest FROM tracks WHERE id = 6) WHERE id = 16")
        conn.execute("UPDATE analyses SET embedding = (SELECT embedding FROM analyses WHERE track_id = 6) "
                     "WHERE track_id = 16")  # fmt: skip
        conn.execute("UPDATE analyses SET embedding = substr(embedding, 1, 20) WHERE track_id = 26")
    done = here("similar", "/music/jazz/005.mp3", "--json")
    paths = [line["path"] for line in done.lines]
    assert "/music/jazz/015.mp3" not in paths and "/music/jazz/025.mp3" not in paths
    assert "/music/jazz/035.mp3" in paths
    assert "1 track left out: heard by another version" in done.err


def test_a_file_nobody_scanned_is_listened_to(tmp_path: Path, here: Here) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for name, signal in (("a", "noise"), ("b", "noise"), ("c", "music")):
        media.make(folder / f"{name}.flac", "flac", seconds=8, signal=signal, seed=ord(name))
    outside = media.make(tmp_path / "d.flac", "flac", seconds=8, signal="noise", seed=99)
    assert here("scan", folder).code == 0
    done = here("similar", outside, "--json")
    assert done.code == 0, done.err
    paths = [Path(line["path"]).name for line in done.lines]
    assert set(paths) <= {"a.flac", "b.flac", "c.flac"} and paths[0] in ("a.flac", "b.flac")
    assert len(here("ls", "--json").lines) == 3, "it was not remembered"


def test_what_is_not_there_is_called_so(db: Path, here: Here, tmp_path: Path) -> None:
    done = here("similar", "/music/none.mp3")
    assert done.code == 3 and done.err == "tagger: /music/none.mp3: there is no such file\n"
    for command in (("similar", "/music/jazz/005.mp3", "--m3u8"), ("export", "-o")):
        done = here(*command, tmp_path / "none" / "x.m3u8")
        assert done.code == 3 and done.out == ""
        assert f"{tmp_path}/none/x.m3u8: cannot be written: there is no folder {tmp_path}/none" in done.err


def test_review_has_the_order_of_the_page(db: Path, here: Here) -> None:
    done = here("review", "--json", "-n", "100")
    assert done.code == 0
    with Store.open(db) as store:
        rows = list(store.tracks_of(worklist(store, limit=100)))
        assert [line["path"] for line in done.lines] == [row.path.decode() for row in rows] and rows
        store.set_labels(rows[0].id, ["jazz"], "import")
        store.set_labels(rows[1].id, ["jazz"], "user")
    later = here("review", "--json", "-n", "2")
    assert [line["path"] for line in later.lines] == [row.path.decode() for row in rows[2:4]]
    assert all(line["why"] and line["guess"] in GENRES for line in done.lines)
    table = here("review", "-n", "1").out
    assert "first guess" in table and f"and {len(rows) - 3} more (-n)" in table
    assert {line["path"] for line in here("review", "--kind", "failed", "--json").lines} == {
        "/music/bad/broken.mp3"
    }


def test_nothing_to_review(here: Here, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    make_database(tmp_path / "data" / "tagger.db", [])
    assert here("review").out == "Nothing to review.\n"
    assert here("review", "--json").out == ""
