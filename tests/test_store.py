"""What the store remembers: round trips, tracks, edits, outcomes, searches, figures."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagger.errors import StoreError
from tagger.store import Store, TrackFilter, TrackRow, columns
from tagger.store.filters import below
from tagger.store.schema import REQUIRED
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
    display,
)

MODEL = "gtzan@1"
# Lone surrogates and NULs too; only two surrogates that make a character are that character afterwards.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20).filter(
    lambda text: not re.search("[\ud800-\udbff][\udc00-\udfff]", text)
)
STATES = st.builds(
    GenreState, values=st.lists(ANY_TEXT, max_size=4).map(tuple), id3v1=st.none() | st.integers(0, 255)
)
# One store for all examples of a property: each example uses rows of its own or looks at what it wrote last.
ONE_STORE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(None) as opened:
        yield opened


@pytest.fixture
def run_id(store: Store) -> int:
    return store.begin_run("run", model_id=MODEL, options={"jobs": 2}, version="0.1")


def make_analysis(n_chunks: int = 3, n_genres: int = 10, *, fill: float = 0.5) -> TrackAnalysis:
    return TrackAnalysis(
        np.full((n_chunks, n_genres), fill, np.float16), np.arange(8, dtype=np.float32), 30.25, 30.0
    )


def make_track(path: bytes = b"/music/a.mp3", size: int = 1000, mtime: int = 5) -> Track:
    return Track(path, os.path.dirname(path), size, mtime)


def make_heard(
    track: Track, digest: bytes = b"d" * 16, tags: FileTags | None = None, **other: object
) -> Heard:
    values: dict[str, object] = {"analysis": make_analysis(), **other}
    return Heard(
        track.path,
        track.size_bytes,
        track.mtime_ns,
        digest,
        tags or FileTags("mp3", GenreState()),
        **values,
    )


def hear(
    store: Store,
    run_id: int,
    path: bytes = b"/music/a.mp3",
    *,
    digest: bytes = b"d" * 16,
    genre: str | None = "rock",
    confidence: float = 0.75,
    status: Status = Status.TAGGED,
    reason: str = "because",
    model: str = MODEL,
    **tags: str,
) -> int:
    """One track through a run: heard, decided, finished."""
    track = make_track(path)
    heard = make_heard(track, digest, FileTags("mp3", GenreState(), **tags))
    estimate = GenreEstimate(genre, confidence, {"rock": confidence, "pop": 1 - confidence})
    with store.transaction():
        track_id = store.record_heard(run_id, track, heard, model_id=model, estimate=estimate)
        store.set_outcome(run_id, track_id, Outcome(path, status, reason, genre), settings_key="k1")
    return track_id


def found(store: Store, path: bytes = b"/music/a.mp3") -> TrackRow:
    row = store.find(path)
    assert row is not None
    return row


# --- round trips ---


@ONE_STORE
@given(path=st.binary(min_size=1, max_size=300))
def test_any_path_comes_back(store: Store, path: bytes) -> None:
    run_id = store.begin_run("scan", model_id=MODEL, options={}, version="0.1")
    track_id = store.record_heard(run_id, make_track(path), make_heard(make_track(path)), model_id=MODEL)
    assert found(store, path).id == track_id
    text = store._conn.execute("SELECT display FROM tracks WHERE id = ?", (track_id,)).fetchone()[0]
    assert text == display(path)


@ONE_STORE
@given(before=STATES, after=STATES)
def test_any_genre_state_comes_back(store: Store, before: GenreState, after: GenreState) -> None:
    run_id = store.begin_run("run", model_id=MODEL, options={}, version="0.1")
    track_id = hear(store, run_id)
    edit_id = store.intend(
        run_id, track_id, b"/music/a.mp3", TagEdit(before, after), size_bytes=1, mtime_ns=2
    )
    edit = store.edit(edit_id)
    assert edit is not None
    assert edit.edit == TagEdit(before, after)
    store.settle(edit_id, "done", size_bytes=3, mtime_ns=4)
    assert found(store).file_state == store.last_own_state(track_id) == after


@ONE_STORE
@given(
    bits=st.binary(min_size=0, max_size=400),
    n_genres=st.integers(1, 12),
    embedding=st.binary(max_size=80),
    short=st.booleans(),
    abstain=st.sampled_from(["", "silence"]),
)
def test_any_analysis_comes_back_bit_for_bit(
    store: Store, bits: bytes, n_genres: int, embedding: bytes, short: bool, abstain: str
) -> None:
    n_chunks = len(bits) // (2 * n_genres)
    analysis = TrackAnalysis(
        np.frombuffer(bits[: n_chunks * n_genres * 2], np.float16).reshape(n_chunks, n_genres),
        np.frombuffer(embedding[: len(embedding) // 4 * 4], np.float32),
        12.5,
        10.25,
        short,
        abstain,
    )
    run_id = store.begin_run("run", model_id=MODEL, options={}, version="0.1")
    track = make_track()
    track_id = store.record_heard(run_id, track, make_heard(track, analysis=analysis), model_id=MODEL)
    back = store.analysis(track_id)
    assert back is not None
    assert back.activations.dtype == np.float16
    assert back.activations.shape == (n_chunks, n_genres)
    assert back.activations.tobytes() == analysis.activations.tobytes()
    assert back.embedding.dtype == np.float32
    assert back.embedding.tobytes() == analysis.embedding.tobytes()
    assert (back.duration_s, back.analysed_s, back.short, back.abstain) == (12.5, 10.25, short, abstain)


def test_an_analysis_without_audio_comes_back(store: Store, run_id: int) -> None:
    nothing = TrackAnalysis(
        np.zeros((0, 0), np.float16), np.zeros(0, np.float32), 0.0, 0.0, abstain="no audio"
    )
    track = make_track()
    back = store.analysis(
        store.record_heard(run_id, track, make_heard(track, analysis=nothing), model_id=MODEL)
    )
    assert back is not None
    assert (back.activations.shape, back.embedding.shape, back.abstain) == ((0, 0), (0,), "no audio")


def test_arrays_of_the_other_byte_order_and_stride_are_stored_alike(store: Store, run_id: int) -> None:
    plain = np.arange(30, dtype=np.float16).reshape(3, 10)
    odd = TrackAnalysis(
        np.asfortranarray(plain).astype(">f2"), np.arange(16, dtype=np.float32)[::2].astype(">f4"), 1.0, 1.0
    )
    track = make_track()
    back = store.analysis(store.record_heard(run_id, track, make_heard(track, analysis=odd), model_id=MODEL))
    assert back is not None
    np.testing.assert_array_equal(back.activations, plain)
    np.testing.assert_array_equal(back.embedding, np.arange(0, 16, 2, dtype=np.float32))


@ONE_STORE
@given(
    texts=st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT),
    genres=st.lists(ANY_TEXT, max_size=3).map(tuple),
    year=st.none() | st.integers(),
    reason=ANY_TEXT,
)
def test_whatever_tags_say_can_be_stored(
    store: Store, texts: tuple[str, str, str, str], genres: tuple[str, ...], year: int | None, reason: str
) -> None:
    run_id = store.begin_run("run", model_id=MODEL, options={"what": reason}, version="0.1")
    title, artist, album, note = texts
    tags = FileTags("mp3", GenreState(genres), genres, title, artist, album, year, note)
    track = make_track()
    with store.transaction():
        track_id = store.record_heard(run_id, track, make_heard(track, tags=tags), model_id=MODEL)
        outcome = Outcome(track.path, Status.KEPT, reason, reason, before=genres, after=genres)
        store.set_outcome(run_id, track_id, outcome, settings_key="k")
    row = found(store)
    assert row.file_genres == genres
    assert row.title == title.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    assert row.year == (year if year is None else max(min(year, 2**63 - 1), -(2**63)))
    assert store.outcomes(run_id)[0].before == genres
    assert store.runs(1)[0].options == {"what": reason}
    row.title.encode(), row.reason.encode(), row.note.encode()  # printable everywhere


@pytest.mark.parametrize("number", [np.float32(0.25), np.float16(0.25), np.float64(0.25)])
def test_numpy_numbers_become_numbers(store: Store, run_id: int, number: np.floating) -> None:
    track = Track(b"/music/a.mp3", b"/music", np.int64(7), np.int64(8))
    analysis = TrackAnalysis(make_analysis().activations, make_analysis().embedding, number, number)
    estimate = GenreEstimate("rock", number, {"rock": number})
    heard = Heard(track.path, 0, 0, b"d", FileTags("mp3", GenreState(), year=np.int32(1999)), analysis)
    track_id = store.record_heard(run_id, track, heard, model_id=MODEL, estimate=estimate)
    store.set_outcome(
        run_id,
        track_id,
        Outcome(track.path, Status.TAGGED, "", "Rock", number),
        settings_key="k",
    )
    store.finish_run(
        run_id, state="done", exit_code=np.int64(0), counts={"tagged": np.int64(1)}, tracks_per_s=number
    )
    types = store._conn.execute(
        "SELECT typeof(confidence), typeof(duration_s), typeof(size_bytes), typeof(year) FROM tracks"
    ).fetchone()
    assert types == ("real", "real", "integer", "integer")
    assert found(store).probabilities == {"rock": 0.25}
    assert store.outcomes(run_id)[0].confidence == 0.25
    assert store.runs(1)[0].counts == {"tagged": 1}
    assert store.runs(1)[0].tracks_per_s == 0.25


def test_strict_tables_refuse_what_plain_does_not_convert(store: Store, run_id: int) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="BLOB"):
        store._conn.execute("UPDATE runs SET tracks_per_s = ?", (np.float32(1),))
    with pytest.raises(TypeError, match="ndarray"):
        columns.plain(np.zeros(3))
    strict = store._conn.execute(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict"
    ).fetchall()
    assert {row[0] for row in strict} == REQUIRED - {"tracks_fts"}


def test_times_and_numbers_out_of_range_are_held(store: Store, run_id: int) -> None:
    track = make_track(mtime=2**70)  # ext4 knows times that 64 bits of nanoseconds do not
    estimate = GenreEstimate("rock", math.nan, {"rock": math.nan})
    store.record_heard(run_id, track, make_heard(track), model_id=MODEL, estimate=estimate)
    row = found(store)
    assert row.mtime_ns == 2**63 - 1
    assert (row.confidence, row.probabilities) == (None, {"rock": 0.0})


# --- runs and outcomes ---


def test_a_run_is_remembered(store: Store) -> None:
    run_id = store.begin_run("run", model_id=MODEL, options={"mode": "missing"}, version="0.1")
    row = store.run(run_id)
    assert row is not None
    assert (row.kind, row.state, row.options, row.ended_ns) == ("run", "running", {"mode": "missing"}, None)
    store.finish_run(run_id, state="failed", exit_code=3, counts={"tagged": 2}, tracks_per_s=1.5)
    row = store.runs()[0]
    assert (row.state, row.exit_code, row.counts, row.tracks_per_s) == ("failed", 3, {"tagged": 2}, 1.5)
    assert row.ended_ns is not None
    assert row.ended_ns >= row.started_ns


def test_a_new_run_declares_a_killed_one_interrupted(store: Store) -> None:
    killed = store.begin_run("run", model_id=MODEL, options={}, version="0.1")
    done = store.begin_run("scan", model_id=MODEL, options={}, version="0.1")
    store.finish_run(done, state="done", exit_code=0, counts={})
    store.begin_run("write", model_id=None, options={}, version="0.1")
    assert [(run.id, run.state) for run in store.runs()] == [
        (done + 1, "running"),
        (done, "done"),
        (killed, "interrupted"),
    ]
    assert len(store.runs(1)) == 1


def test_outcomes_but_for_unchanged_are_kept(store: Store, run_id: int) -> None:
    for name, status in ((b"a", Status.UNREADABLE), (b"b", Status.TAGGED), (b"c", Status.UNCHANGED)):
        hear(store, run_id, b"/music/" + name, status=status)
    assert [(row.path, row.status) for row in store.outcomes(run_id)] == [
        (b"/music/a", Status.UNREADABLE),
        (b"/music/b", Status.TAGGED),
    ]
    assert [row.path for row in store.outcomes(run_id, status=Status.TAGGED)] == [b"/music/b"]
    assert [row.path for row in store.outcomes(run_id, limit=1, offset=1)] == [b"/music/b"]
    assert found(store, b"/music/c").status is Status.UNCHANGED
    assert found(store, b"/music/c").settings_key == "k1"


def test_a_second_outcome_in_a_run_replaces_the_first(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    outcome = Outcome(b"/music/a.mp3", Status.FAILED, "disk full", before=("Pop",))
    store.set_outcome(run_id, track_id, outcome, settings_key="k2")
    (row,) = store.outcomes(run_id)
    assert (row.status, row.reason, row.before, row.genre) == (Status.FAILED, "disk full", ("Pop",), None)


# --- hearing ---


def test_heard_again_replaces_row_and_analysis(store: Store, run_id: int) -> None:
    first = hear(store, run_id, title="Old")
    track = make_track(size=2000, mtime=6)
    tags = FileTags("flac", GenreState(("Pop",)), ("Pop",), title="New", note="odd")
    heard = make_heard(track, b"e" * 16, tags, analysis=make_analysis(2, 4, fill=9))
    assert store.record_heard(run_id, track, heard, model_id="other@2") == first
    row = found(store)
    assert (row.title, row.digest, row.model_id, row.n_chunks) == ("New", b"e" * 16, "other@2", 2)
    assert (row.size_bytes, row.mtime_ns, row.note, row.file_genres) == (2000, 6, "odd", ("Pop",))
    assert (row.genre, row.confidence, row.probabilities) == (
        None,
        None,
        {},
    )  # the estimate was of the old analysis
    again = store.analysis(first)
    assert again is not None
    assert again.activations.shape == (2, 4)
    assert store.count_tracks() == 1


def test_the_estimate_comes_back_and_can_be_renewed(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    assert found(store).estimate == GenreEstimate("rock", 0.75, {"rock": 0.75, "pop": 0.25}, "")
    again = GenreEstimate(None, 0.4, {"pop": 0.4, "rock": 0.3}, "too close to call")
    store.set_estimate(track_id, again)
    assert found(store).estimate == again
    assert list(found(store).probabilities) == ["pop", "rock"]


@pytest.mark.parametrize(
    ("digest", "size", "kept"),
    [(b"d" * 16, 9999, True), (None, 1000, True), (None, 9999, False), (b"x" * 16, 1000, False)],
    ids=["same audio", "same stat", "file changed", "other audio"],
)
def test_a_failure_keeps_an_analysis_only_of_this_very_audio(
    store: Store, run_id: int, digest: bytes | None, size: int, kept: bool
) -> None:
    track_id = hear(store, run_id, title="Song")
    track = make_track(size=size)
    failed = Heard(track.path, size, 5, digest, failure=Status.TIMED_OUT, reason="too slow")
    assert store.record_heard(run_id, track, failed, model_id=MODEL) == track_id
    row = found(store)
    assert (row.model_id, row.genre) == ((MODEL, "rock") if kept else (None, None))
    assert (store.analysis(track_id) is not None) == kept
    assert (row.estimate is not None) == kept
    assert row.digest == (b"d" * 16 if kept else digest)
    assert row.title == "Song"


def test_a_file_that_failed_before_its_stat_has_the_scans(store: Store, run_id: int) -> None:
    track = make_track(size=77, mtime=88)
    store.record_heard(run_id, track, Heard(track.path, failure=Status.CRASHED), model_id=MODEL)
    row = found(store)
    assert (row.size_bytes, row.mtime_ns, row.digest, row.file_state) == (77, 88, None, None)


def test_a_report_of_nothing_is_refused(store: Store, run_id: int) -> None:
    track = make_track()
    with pytest.raises(ValueError, match="adopt"):
        store.record_heard(run_id, track, Heard(track.path, 1, 2, b"d"), model_id=MODEL)


def test_digests_by_size_and_model(store: Store, run_id: int) -> None:
    hear(store, run_id, b"/music/a", digest=b"a" * 16)
    hear(store, run_id, b"/music/b", digest=b"b" * 16)
    hear(store, run_id, b"/music/c", digest=b"c" * 16, model="old@1")
    failed = make_track(b"/music/d")
    store.record_heard(
        run_id, failed, Heard(failed.path, 1000, 5, b"f", failure=Status.CRASHED), model_id=MODEL
    )
    assert store.digests_for_size(1000, MODEL) == {b"a" * 16, b"b" * 16}
    assert store.digests_for_size(1001, MODEL) == frozenset()


# --- moved, copied, retagged ---


def known_digest(path: bytes, *, size: int = 1000, tags: FileTags | None = None) -> tuple[Track, Heard]:
    track = make_track(path, size, 99)
    return track, make_heard(track, tags=tags, analysis=None)


def test_a_moved_file_keeps_its_row_and_history(store: Store, run_id: int) -> None:
    old = hear(store, run_id, b"/music/old/a.mp3", title="Song")
    edit = TagEdit(GenreState(), GenreState(("Rock",)))
    edit_id = store.intend(run_id, old, b"/music/old/a.mp3", edit, size_bytes=1, mtime_ns=1)
    store.settle(edit_id, "done", size_bytes=1000, mtime_ns=5)
    store.mark_missing([b"/music"], set())
    row = store.adopt(run_id, *known_digest(b"/new/b.mp3"), model_id=MODEL, exists=lambda _: False)
    assert row is not None
    assert (row.id, row.path, row.root, row.mtime_ns, row.missing_since_ns) == (
        old,
        b"/new/b.mp3",
        b"/new",
        99,
        None,
    )
    assert row.genre == "rock"
    assert store.find(b"/music/old/a.mp3") is None
    assert store.edits_of_track(old)[0].path == b"/music/old/a.mp3"
    assert store.edits_of_track(old)[0].track_path == b"/new/b.mp3"
    assert [r.path for r in store.list_tracks(TrackFilter(text="new"))] == [b"/new/b.mp3"]
    assert store.count_tracks(TrackFilter(text="old")) == 0


def test_a_copied_file_gets_a_row_with_the_analysis(store: Store, run_id: int) -> None:
    first = hear(store, run_id, b"/music/a.mp3", title="Song")
    copied = known_digest(
        b"/music/copy.mp3", tags=FileTags("mp3", GenreState(("Jazz",)), ("Jazz",), title="Other")
    )
    row = store.adopt(run_id, *copied, model_id=MODEL, exists=lambda _: True)
    assert row is not None
    assert row.id != first
    assert (row.title, row.file_genres, row.genre, row.confidence) == ("Other", ("Jazz",), "rock", 0.75)
    assert row.listened_ns == found(store).listened_ns
    assert row.status is None  # no run has finished the copy
    one, other = store.analysis(first), store.analysis(row.id)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.activations, other.activations)
    assert (other.duration_s, other.analysed_s) == (one.duration_s, one.analysed_s)


def test_a_retagged_file_keeps_its_own_row(store: Store, run_id: int) -> None:
    hear(store, run_id, b"/music/twin.mp3")
    own = hear(store, run_id, b"/music/a.mp3", title="Song")
    tags = FileTags("mp3", GenreState(("Jazz",)), ("Jazz",), title="Better")
    again = known_digest(b"/music/a.mp3", size=1234, tags=tags)
    row = store.adopt(run_id, *again, model_id=MODEL, exists=lambda _: False)
    assert row is not None
    assert (row.id, row.title, row.size_bytes, row.genre, row.status) == (
        own,
        "Better",
        1234,
        "rock",
        Status.TAGGED,
    )


def test_two_files_that_changed_places_swap_analyses(store: Store, run_id: int) -> None:
    a = hear(store, run_id, b"/music/a", digest=b"a" * 16, genre="rock")
    b = hear(store, run_id, b"/music/b", digest=b"b" * 16, genre="pop")
    track = make_track(b"/music/a", 1001)
    row = store.adopt(
        run_id, track, make_heard(track, b"b" * 16, analysis=None), model_id=MODEL, exists=lambda _: True
    )
    assert row is not None
    assert (row.id, row.genre, row.digest) == (a, "pop", b"b" * 16)
    assert found(store, b"/music/b").id == b


def test_an_unknown_digest_is_not_adopted(store: Store, run_id: int) -> None:
    hear(store, run_id, model="old@1")
    track, heard = known_digest(b"/music/b")
    assert store.adopt(run_id, track, heard, model_id=MODEL) is None
    nothing = Heard(track.path, 1, 1, None)
    assert store.adopt(run_id, track, nothing, model_id=MODEL) is None
    assert store.analysis_of_digest(b"d" * 16, MODEL) is None
    assert store.analysis_of_digest(b"d" * 16, "old@1") is not None
    assert store.find(b"/music/b") is None


def test_by_itself_the_disk_says_whether_a_file_is_gone(store: Store, run_id: int, tmp_path: Path) -> None:
    here = tmp_path / "here.mp3"
    here.write_bytes(b"x")
    old = hear(store, run_id, os.fsencode(here))
    copy = store.adopt(run_id, *known_digest(b"/music/copy"), model_id=MODEL)
    here.unlink()
    moved = store.adopt(run_id, *known_digest(b"/music/moved"), model_id=MODEL)
    assert copy is not None
    assert moved is not None
    assert copy.id != old == moved.id


def test_touch_renews_stat_and_tags_alone(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    store.touch(run_id, track_id, make_track(size=5, mtime=6), FileTags("mp3", GenreState(("X",)), title="T"))
    row = found(store)
    assert (row.size_bytes, row.mtime_ns, row.title, row.genre, row.model_id) == (5, 6, "T", "rock", MODEL)


# --- edits ---


def write(
    store: Store, run_id: int, track_id: int, before: str, after: str, undoes: int | None = None
) -> int:
    """One edit, intended and done."""
    edit = TagEdit(GenreState((before,) if before else ()), GenreState((after,) if after else ()))
    edit_id = store.intend(run_id, track_id, b"/music/a.mp3", edit, size_bytes=1, mtime_ns=2, undoes=undoes)
    store.settle(edit_id, "done", size_bytes=1500, mtime_ns=77)
    return edit_id


def test_an_edit_is_intended_then_done(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    edit = TagEdit(GenreState(("(17)",), 17), GenreState(("(17)", "Jazz"), 17))
    edit_id = store.intend(run_id, track_id, b"/music/a.mp3", edit, size_bytes=1000, mtime_ns=5)
    assert [(e.id, e.state, e.edit) for e in store.unsettled()] == [(edit_id, "intended", edit)]
    assert found(store).size_bytes == 1000
    store.settle(edit_id, "done", size_bytes=1100, mtime_ns=6, file_genres=("Rock", "Jazz"))
    row = found(store)
    assert (row.size_bytes, row.mtime_ns, row.file_state) == (1100, 6, edit.after)
    assert row.file_genres == ("Rock", "Jazz")
    assert store.unsettled() == []
    (done,) = store.edits_of_run(run_id, state="done")
    assert (done.size_after_bytes, done.mtime_after_ns, done.size_before_bytes) == (1100, 6, 1000)


@pytest.mark.parametrize("state", ["abandoned", "superseded"])
def test_an_edit_that_came_to_nothing_leaves_the_track(store: Store, run_id: int, state: str) -> None:
    track_id = hear(store, run_id)
    edit_id = store.intend(
        run_id, track_id, b"/x", TagEdit(GenreState(), GenreState(("A",))), size_bytes=1, mtime_ns=1
    )
    before = found(store)
    store.settle(edit_id, state)
    assert found(store) == before
    assert store.unsettled() == []
    assert store.last_own_state(track_id) is None
    assert store.latest_write_run() is None


def test_an_edit_is_settled_once_and_completely(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    edit_id = write(store, run_id, track_id, "", "Rock")
    with pytest.raises(ValueError, match="is done, not intended"):
        store.settle(edit_id, "abandoned")
    with pytest.raises(ValueError, match="unknown"):
        store.settle(12345, "abandoned")
    edit = TagEdit(GenreState(), GenreState())
    open_id = store.intend(run_id, track_id, b"/x", edit, size_bytes=1, mtime_ns=1)
    with pytest.raises(ValueError, match="size and time"):
        store.settle(open_id, "done")
    assert [e.id for e in store.unsettled()] == [open_id]


def test_undo_brings_back_the_former_own_state(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    first = write(store, run_id, track_id, "", "Rock")
    second_run = store.begin_run("write", model_id=MODEL, options={}, version="0.1")
    second = write(store, second_run, track_id, "Rock", "Pop")
    assert store.last_own_state(track_id) == GenreState(("Pop",))
    assert store.latest_write_run() == second_run

    undo_run = store.begin_run("undo", model_id=None, options={}, version="0.1")
    undo = write(store, undo_run, track_id, "Pop", "Rock", undoes=second)
    assert [(e.id, e.state) for e in store.edits_of_track(track_id)] == [
        (undo, "done"),
        (second, "undone"),
        (first, "done"),
    ]
    assert store.last_own_state(track_id) == GenreState(("Rock",))
    assert store.latest_write_run() == run_id

    write(store, undo_run, track_id, "Rock", "", undoes=first)
    assert store.last_own_state(track_id) is None
    assert store.latest_write_run() is None
    assert found(store).file_state == GenreState()


def test_an_undo_can_be_undone(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    first = write(store, run_id, track_id, "", "Rock")
    undo_run = store.begin_run("undo", model_id=None, options={}, version="0.1")
    undo = write(store, undo_run, track_id, "Rock", "", undoes=first)
    redo_run = store.begin_run("undo", model_id=None, options={}, version="0.1")
    write(store, redo_run, track_id, "", "Rock", undoes=undo)
    states = {edit.id: edit.state for edit in store.edits_of_track(track_id)}
    assert (states[first], states[undo]) == ("done", "undone")
    assert store.last_own_state(track_id) == GenreState(("Rock",))
    assert store.latest_write_run() == run_id  # to be undone once more


def test_edits_of_a_run_come_latest_first(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    ids = [write(store, run_id, track_id, "", name) for name in "abc"]
    assert [edit.id for edit in store.edits_of_run(run_id)] == ids[::-1]
    assert store.edits_of_run(run_id, state="abandoned") == []


# --- missing ---

NAMES = st.lists(st.sampled_from([b"a", b"b", b"ab", b"a b", b"\xff", b"a0", b"a."]), min_size=1, max_size=4)


@given(folder=NAMES, path=NAMES)
def test_below_is_what_lies_in_a_folder(folder: list[bytes], path: list[bytes]) -> None:
    where, what = b"/" + b"/".join(folder), b"/" + b"/".join(path)
    for spelled in (where, where + b"/"):
        first, end = below(spelled)
        assert (first <= what < end) == what.startswith(where + b"/")
    first, end = below(b"/")
    assert first <= what < end


def test_missing_tracks_are_marked_and_cleared(store: Store, run_id: int) -> None:
    a, b, c = (hear(store, run_id, p) for p in (b"/music/x/a", b"/music/y/b", b"/music2/c"))
    assert store.missing_share(b"/music", {a}) == (2, 1)
    assert store.mark_missing([b"/music"], {a}) == 1
    assert [row.id for row in store.list_tracks(TrackFilter(missing=True))] == [b]
    assert store.missing_share(b"/music", {a}) == (1, 0)  # gone already
    since = found(store, b"/music/y/b").missing_since_ns
    assert store.mark_missing([b"/music"], {a}) == 1
    assert found(store, b"/music/y/b").missing_since_ns == since  # since the first time
    assert store.mark_missing([b"/music/x"], {a, b}) == 0  # seen again, wherever
    assert found(store, b"/music/y/b").missing_since_ns is None
    assert found(store, b"/music2/c").missing_since_ns is None
    assert store.mark_missing([b"/"], set()) == 3
    assert c


def test_nothing_is_said_of_folders_that_could_not_be_read(store: Store, run_id: int) -> None:
    hear(store, run_id, b"/music/locked/a")
    hear(store, run_id, b"/music/locked2/b")
    assert store.mark_missing([b"/music"], set(), unreadable=[b"/music/locked"]) == 1
    assert found(store, b"/music/locked/a").missing_since_ns is None


def test_prune_forgets_what_is_missing_but_not_the_journal(store: Store, run_id: int) -> None:
    gone, kept, other = (hear(store, run_id, p) for p in (b"/music/a", b"/music/b", b"/music/c"))
    edit_id = write(store, run_id, gone, "", "Rock")
    store.add_label(gone, "zouk", "user")
    store.mark_missing([b"/music"], {kept, other})
    assert store.prune_missing() == 1
    assert store.find(b"/music/a") is None
    assert store.analysis(gone) is None
    edit = store.edit(edit_id)
    assert edit is not None
    assert (edit.track_id, edit.track_path, edit.path) == (None, None, b"/music/a.mp3")
    assert [(label.track_id, label.path) for label in store.labels()] == [(None, b"/music/a")]
    assert store.integrity_check() == []
    assert hear(store, run_id, b"/music/new") > max(gone, kept, other)  # ids are not used twice


def test_prune_refuses_when_most_has_vanished(store: Store, run_id: int) -> None:
    for name in b"abc":
        hear(store, run_id, b"/music/%c" % name)
    store.mark_missing([b"/music"], {1})
    with pytest.raises(StoreError, match=r"2 of 3 tracks are missing.*mounted"):
        store.prune_missing()
    assert store.count_tracks() == 3
    assert store.prune_missing(force=True) == 2
    assert store.count_tracks() == 1


# --- questions ---


@pytest.fixture
def library(store: Store, run_id: int) -> Store:
    hear(
        store,
        run_id,
        b"/music/metal/enter.mp3",
        genre="metal",
        confidence=0.9,
        title="Sandman",
        artist="Metallica",
    )
    hear(
        store, run_id, b"/music/rock/back.mp3", genre="rock", confidence=0.6, title="Thunder", artist="AC/DC"
    )
    hear(store, run_id, b"/music/rock/e.mp3", genre="rock", confidence=0.8, title="E\u0301cole", artist="Zoé")
    hear(
        store, run_id, b"/other/\xff.mp3", genre=None, confidence=0.3, status=Status.UNCERTAIN, title="漢字 ♥"
    )
    hear(
        store,
        run_id,
        b"/other/bad.mp3",
        genre=None,
        confidence=0,
        status=Status.UNREADABLE,
        reason="cut",
        model="old@1",
    )
    hear(
        store,
        run_id,
        b"/other/bad2.mp3",
        genre=None,
        confidence=0,
        status=Status.UNREADABLE,
        reason="cut",
        model="old@1",
    )
    return store


def names(store: Store, which: TrackFilter, **how: object) -> list[str]:
    return [Path(os.fsdecode(row.path)).name for row in store.list_tracks(which, **how)]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (TrackFilter(genre="ROCK"), ["back.mp3", "e.mp3"]),
        (TrackFilter(status=Status.UNCERTAIN), [os.fsdecode(b"\xff.mp3")]),
        (TrackFilter(min_confidence=0.8), ["enter.mp3", "e.mp3"]),
        (TrackFilter(max_confidence=0.8, genre="rock"), ["back.mp3", "e.mp3"]),
        (TrackFilter(folder=b"/music/rock"), ["back.mp3", "e.mp3"]),
        (TrackFilter(folder=b"/music/roc"), []),
        (TrackFilter(folder=b"/music/rock/back.mp3"), ["back.mp3"]),
        (TrackFilter(folder=b"/music/rock/back.mp"), []),
        (
            TrackFilter(folder=b"/"),
            ["enter.mp3", "back.mp3", "e.mp3", "bad.mp3", "bad2.mp3", os.fsdecode(b"\xff.mp3")],
        ),
        (TrackFilter(stale_model=MODEL), ["bad.mp3", "bad2.mp3"]),
        (TrackFilter(missing=True), []),
        (TrackFilter(text="thund"), ["back.mp3"]),
        (TrackFilter(text="ac/dc"), ["back.mp3"]),
        (TrackFilter(text="AC/D thunder"), ["back.mp3"]),
        (TrackFilter(text="ecole zoe"), ["e.mp3"]),
        (TrackFilter(text="École"), ["e.mp3"]),
        (TrackFilter(text="漢"), [os.fsdecode(b"\xff.mp3")]),
        (TrackFilter(text="♥"), [os.fsdecode(b"\xff.mp3")]),
        (TrackFilter(text="metallica thunder"), []),
        (TrackFilter(text="bad", missing=False, folder=b"/other"), ["bad.mp3", "bad2.mp3"]),
        (TrackFilter(text='OR "sandman" AND NOT ('), []),
        (TrackFilter(text="sandman -"), ["enter.mp3"]),
    ],
)
def test_filters(library: Store, which: TrackFilter, expected: list[str]) -> None:
    assert names(library, which) == expected
    assert library.count_tracks(which) == len(expected)
    assert [row.id for row in library.iter_tracks(which)] == sorted(
        row.id for row in library.list_tracks(which)
    )


def test_of_what_sorts_between_a_folder_and_its_files_nothing_is_found(store: Store, run_id: int) -> None:
    for path in (b"/m/Jazz", b"/m/Jazz (live)/1.mp3", b"/m/Jazz-x.mp3", b"/m/Jazz/2.mp3", b"/m/Jazz0/3.mp3"):
        hear(store, run_id, path)
    for folder in (b"/m/Jazz", b"/m/Jazz/"):
        found = [row.path for row in store.list_tracks(TrackFilter(folder=folder))]
        assert found == [b"/m/Jazz", b"/m/Jazz/2.mp3"]


@ONE_STORE
@given(text=ANY_TEXT | st.text('"*()^:+-{}ANDORNOTa \0', max_size=12))
def test_any_text_may_be_searched_for(store: Store, text: str) -> None:
    assert store.count_tracks(TrackFilter(text=text)) == 0


@ONE_STORE
@given(
    word=st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=0x17F), min_size=1, max_size=10)
)
def test_the_beginning_of_any_word_finds_a_track(store: Store, word: str) -> None:
    run_id = store.begin_run("run", model_id=MODEL, options={}, version="0.1")
    hear(store, run_id, title=f"first {word} last")
    for end in range(1, len(word) + 1):
        assert store.count_tracks(TrackFilter(text=word[:end])) == 1


def test_sorting_and_paging(library: Store) -> None:
    everything = TrackFilter()
    assert names(library, everything, order="-confidence", limit=2) == ["enter.mp3", "e.mp3"]
    assert names(library, everything, order="-confidence", limit=2, offset=1) == ["e.mp3", "back.mp3"]
    assert names(library, TrackFilter(genre="rock"), order="title") == ["e.mp3", "back.mp3"]
    assert names(library, everything, order="confidence")[-1] == "enter.mp3"
    for order in ("path", "artist", "album", "title", "genre", "confidence", "duration", "-updated", "id"):
        assert sorted(names(library, everything, order=order)) == sorted(names(library, everything))
    assert names(library, TrackFilter(folder=b"/music"), order="artist")[0] == "back.mp3"


def test_all_tracks_can_be_walked_while_they_change(library: Store, run_id: int) -> None:
    seen = []
    for row in library.iter_tracks():
        seen.append(row.id)
        library.set_estimate(row.id, GenreEstimate("pop", 0.5))
    assert seen == [row.id for row in library.list_tracks(order="id")]
    assert library.count_tracks(TrackFilter(genre="pop")) == 6
    assert len(list(library.iter_tracks(TrackFilter(folder=b"/music", missing=False)))) == 3


def test_errors_are_grouped(library: Store) -> None:
    (group,) = library.errors(paths_each=1)
    assert (group.status, group.reason, group.n) == (Status.UNREADABLE, "cut", 2)
    assert group.paths == (b"/other/bad.mp3",)


def test_the_summary_counts(library: Store, run_id: int) -> None:
    library.mark_missing([b"/music/metal"], set())
    summary = library.summary(MODEL)
    assert (summary.n_tracks, summary.n_missing, summary.n_stale) == (5, 1, 2)
    assert summary.by_status == {"tagged": 2, "unreadable": 2, "uncertain": 1}
    assert summary.by_genre == {"rock": 2}
    assert summary.by_model == {MODEL: 3, "old@1": 2}
    assert summary.last_run is not None
    assert summary.last_run.id == run_id


def test_an_empty_database_answers(store: Store) -> None:
    summary = store.summary(MODEL)
    assert (summary.n_tracks, summary.n_missing, summary.by_status, summary.last_run) == (0, 0, {}, None)
    assert store.errors() == store.runs() == store.list_tracks() == store.unsettled() == []
    assert store.latest_write_run() is None
    assert store.missing_share(b"/", set()) == (0, 0)
    assert store.prune_missing() == 0


def test_labels_are_remembered_once(store: Store, run_id: int) -> None:
    track_id = hear(store, run_id)
    for genre, source in (("zouk", "user"), ("rock", "tags"), ("zouk", "user")):
        store.add_label(track_id, genre, source)
    assert [(label.genre, label.path) for label in store.labels("user")] == [("zouk", b"/music/a.mp3")]
    assert len(store.labels()) == 2
    with pytest.raises(ValueError, match="no track 99"):
        store.add_label(99, "rock", "user")


# --- transactions ---


def test_a_track_is_written_whole_or_not_at_all(store: Store, run_id: int) -> None:
    with pytest.raises(KeyboardInterrupt), store.transaction():
        hear(store, run_id)
        raise KeyboardInterrupt
    assert store.find(b"/music/a.mp3") is None
    hear(store, run_id)
    assert store.count_tracks() == 1


def test_an_inner_part_may_fail_alone(store: Store, run_id: int) -> None:
    with store.transaction():
        hear(store, run_id, b"/music/a")
        with pytest.raises(RuntimeError), store.transaction():
            hear(store, run_id, b"/music/b")
            raise RuntimeError
        hear(store, run_id, b"/music/c")
    assert [row.path for row in store.list_tracks()] == [b"/music/a", b"/music/c"]


def test_the_search_index_follows_every_change(library: Store, run_id: int) -> None:
    track_id = found(library, b"/music/rock/back.mp3").id
    library.touch(
        run_id, track_id, make_track(b"/music/rock/back.mp3"), FileTags("mp3", GenreState(), title="Hells")
    )
    assert library.count_tracks(TrackFilter(text="thunder")) == 0
    assert library.count_tracks(TrackFilter(text="hells")) == 1
    assert library.integrity_check() == []
    library._conn.execute("DROP TRIGGER tracks_fts_update")
    library.touch(run_id, track_id, make_track(b"/x"), FileTags("mp3", GenreState(), title="Other"))
    assert "search index" in library.integrity_check()[0]


# --- speed ---


def fill(store: Store, n: int) -> list[bytes]:
    """A library of `n` tracks, made by the quickest way, with lengths and numbers as in a real one."""
    genres = ("rock", "pop", "jazz", "metal", "disco")
    paths = [b"/music/Artist %d/Album %d/%02d Title.mp3" % (i // 100, i // 10, i) for i in range(n)]
    records = (
        {
            "path": path,
            "display": path.decode(),
            "root": b"/music",
            "size_bytes": 5_000_000 + i % 50_000,
            "mtime_ns": i,
            "digest": i.to_bytes(16, "big"),
            "title": f"Title {i}",
            "artist": f"Artist {i // 100}",
            "album": f"Album {i // 10}",
            "model_id": MODEL,
            "genre": genres[i % 5],
            "confidence": i % 100 / 100,
            "probabilities": columns.to_json(dict.fromkeys(genres, 0.2)),
            "file_state": '[["Rock"],null]',
            "status": "unreadable" if i % 40 == 0 else "tagged",
            "first_seen_ns": i,
            "updated_ns": i,
        }
        for i, path in enumerate(paths)
    )
    with store.transaction():
        store._db.table("tracks").insert_all(records, batch_size=500)
    return paths


def check_speed(store: Store, n: int, limit_s: float) -> None:
    """Processor time, so that other work of the machine fails no test."""
    paths = fill(store, n)
    began = time.process_time()
    for path in paths[:100_000]:
        assert store.find(path) is not None
    assert time.process_time() - began < 5 * limit_s
    for question in (
        lambda: store.summary("other@1"),
        lambda: store.errors(),
        lambda: store.list_tracks(limit=100),
        lambda: store.list_tracks(order="artist", limit=100),
        lambda: store.list_tracks(
            TrackFilter(genre="rock", min_confidence=0.5), order="-confidence", limit=100
        ),
        lambda: store.list_tracks(TrackFilter(text="artist 1 titl"), limit=100),
        lambda: store.count_tracks(TrackFilter(text="title", missing=False)),
        lambda: store.count_tracks(TrackFilter(folder=b"/music/Artist 1")),
        lambda: store.digests_for_size(5_000_007, MODEL),
        lambda: store.missing_share(b"/music", set(range(n))),
    ):
        began = time.process_time()
        question()
        assert time.process_time() - began < limit_s


def test_a_library_of_ten_thousand_answers_at_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "db.sqlite") as store:
        check_speed(store, 10_000, 0.2)


@pytest.mark.slow
def test_a_library_of_two_hundred_thousand_answers_within_a_second(tmp_path: Path) -> None:
    with Store.open(tmp_path / "db.sqlite") as store:
        check_speed(store, 200_000, 1.0)
