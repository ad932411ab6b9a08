"""`tagger correct`: a person's word goes into files and database together, and comes out together."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tagger.config import Config
from tagger.correct import Correction, correct_tracks
from tagger.errors import ConfigError
from tagger.job import Told, run_lock
from tagger.store import Store
from tagger.tags import read_tags
from tagger.tracks import Outcome, Status
from tests import media
from tests.collections_made import Made, make_database
from tests.conftest import Tagger, tree
from tests.inprocess import Here, here

__all__ = ["here"]


@pytest.fixture
def library(made_library: Path, tmp_path: Path) -> Path:
    """Three files in a folder that nobody has scanned."""
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("mp3.mp3", "flac.flac", "m4a-aac.m4a"):
        shutil.copy(made_library / name, folder / name)
    return folder


def genres(path: Path) -> tuple[str, ...]:
    return read_tags(bytes(path)).genres


def said(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Every label: file name, genre, source."""
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        return [(Path(row.path.decode()).name, row.genre, row.source) for row in store.labels()]


def test_files_nobody_has_scanned_are_heard_corrected_and_put_back(
    library: Path, tmp_path: Path, tagger: Tagger
) -> None:
    before = tree(library)
    mp3, flac, m4a = (library / name for name in ("mp3.mp3", "flac.flac", "m4a-aac.m4a"))
    done = tagger("correct", mp3, flac, "Jazz, hiphop", "--json")
    assert done.code == 0, done.err
    assert {line["status"] for line in done.lines} == {"tagged"}
    assert genres(mp3) == genres(flac) == ("Jazz", "Hip-Hop") and genres(m4a) == ()
    expected = [(name, genre, "user") for name in ("mp3.mp3", "flac.flac") for genre in ("Jazz", "hiphop")]
    assert said(tmp_path) == expected
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        row = store.find(bytes(flac))
        assert row is not None and row.file_genres == ("Jazz", "Hip-Hop")
        analysis = store.analysis(row.id)
        assert analysis is not None and len(analysis.embedding), "it can be learnt from"

    again = tagger("correct", mp3, flac, "jazz,Hip Hop", "--json")
    assert {line["status"] for line in again.lines} == {"kept"}, "the same genres in other words"

    # A second thought takes the place of the first, and is what the undo takes back.
    assert tagger("correct", flac, "Blues").code == 0
    assert genres(flac) == ("Blues",) and ("flac.flac", "Blues", "user") in said(tmp_path)
    assert len([line for line in said(tmp_path) if line[0] == "flac.flac"]) == 1
    undone = tagger("undo", "--yes", "--json")
    assert undone.code == 0 and genres(flac) == ("Jazz", "Hip-Hop")
    assert {line for line in said(tmp_path) if line[0] == "flac.flac"} == {
        ("flac.flac", "jazz", "user"), ("flac.flac", "Hip Hop", "user")
    }  # fmt: skip
    redo = tagger("runs", "--json").lines[0]["run"]
    assert tagger("undo", redo, "--yes").code == 0
    assert genres(flac) == ("Blues",)
    assert [line[1] for line in said(tmp_path) if line[0] == "flac.flac"] == ["Blues"]

    tagger("undo", "--yes")
    tagger("undo", "--yes")
    assert {name: state.split()[0] for name, state in tree(library).items()} == {
        name: state.split()[0] for name, state in before.items()
    }, "byte for byte as they were"


def test_only_remembered_and_forgotten(library: Path, tmp_path: Path, here: Here) -> None:
    before = tree(library)
    mp3 = library / "mp3.mp3"
    done = here("correct", "--no-write", mp3, "Zouk & Kompa", "--json")
    assert done.code == 0 and done.lines[0]["status"] == "kept" and "remembered" in done.lines[0]["reason"]
    assert said(tmp_path) == [("mp3.mp3", "Zouk & Kompa", "user")]
    assert here("correct", "--forget", mp3).code == 0
    assert said(tmp_path) == [] and tree(library) == before
    unknown = here("correct", "--forget", library / "flac.flac")
    assert unknown.code == 1 and "not in the database" in unknown.err


def test_what_cannot_be_corrected_is_named_and_the_rest_is_done(
    library: Path, tmp_path: Path, here: Here
) -> None:
    (library / "notes.txt").write_text("no music")
    (library / "broken.mp3").write_bytes(b"ID3")
    odd = library / "x"
    shutil.copy(library / "flac.flac", bytes(library) + b"/\xff\n-.flac")
    done = here(
        "correct", library, odd, library / "notes.txt", library / "broken.mp3",
        bytes(library) + b"/\xff\n-.flac", library / "mp3.mp3", "Jazz",
    )  # fmt: skip
    assert done.code == 1
    for name, why in (("music: failed", "is a folder"), ("x: failed", "no such file"), ("notes.txt", "not"),
                      ("broken.mp3", ":")):  # fmt: skip
        assert any(name in line and why in line for line in done.err.splitlines()), (name, done.err)
    assert r"/\xff\n-.flac: no genre -> Jazz" in done.out and "2 tracks corrected" in done.out
    assert genres(library / "mp3.mp3") == ("Jazz",)


@pytest.mark.parametrize("genre", ["Rock/Pop", "", "Jazz,", "17", "x" * 61])
def test_a_genre_that_cannot_be_written_is_refused_before_anything(
    library: Path, tmp_path: Path, here: Here, genre: str
) -> None:
    before = tree(library)
    done = here("correct", library / "mp3.mp3", genre)
    assert done.code == 2 and "genre" in done.err.lower()
    assert tree(library) == before and not (tmp_path / "data").exists()


def test_the_genre_comes_last(library: Path, here: Here) -> None:
    done = here("correct", library / "mp3.mp3", library / "flac.flac")
    assert done.code == 2 and "comes last" in done.err
    assert here("correct", library / "mp3.mp3").code == 2
    assert here("correct").code == 2
    for missing in ("03.flac", "music/03.MP3"):
        slip = here("correct", library / "mp3.mp3", missing)
        assert slip.code == 2 and f"{missing} is a file's name" in slip.err
    assert genres(library / "mp3.mp3") == ()


def test_not_beside_a_run(library: Path, tmp_path: Path, here: Here) -> None:
    database = tmp_path / "data" / "tagger.db"
    before = tree(library)
    with run_lock(database):
        assert here("correct", library / "mp3.mp3", "Jazz").code == 75
    assert tree(library) == before


def test_what_could_not_be_listened_to_is_not_written(tmp_path: Path) -> None:
    path = bytes(media.make(tmp_path / "a.flac", "flac", seconds=2))
    made = Made(path, heard=False, status=Status.UNREADABLE, reason="is MP3 by its frames")
    make_database(tmp_path / "t.db", [made], root=bytes(tmp_path))
    before = tree(tmp_path)
    told: list[Outcome] = []
    with Store.open(tmp_path / "t.db") as store:
        row = store.track(1)
        assert row is not None
        config = Config(db=tmp_path / "t.db")
        summary = correct_tracks(
            store, [Correction(row, ("jazz",))], config, into_files=True, tell=told.append
        )
        assert summary.exit_code == 1 and summary.run_id == 0
        assert [label.genre for label in store.labels_of(1)] == ["jazz"], "the word is remembered"
    assert [(one.status, "is MP3 by its frames" in one.reason) for one in told] == [(Status.REFUSED, True)]
    assert {k: v for k, v in tree(tmp_path).items() if k.endswith("flac")} == {
        k: v for k, v in before.items() if k.endswith("flac")
    }


def test_a_label_since_then_survives_the_undo(tmp_path: Path) -> None:
    path = bytes(media.make(tmp_path / "a.flac", "flac", seconds=2))
    make_database(tmp_path / "t.db", [Made(path)], root=bytes(tmp_path))
    with closing(sqlite3.connect(tmp_path / "t.db")) as conn, conn:
        conn.execute("UPDATE tracks SET digest = NULL")
    config = Config(db=tmp_path / "t.db", genres={"hiphop": "Rap"})
    from tagger.undo import undo_run

    with Store.open(tmp_path / "t.db") as store:
        row = store.track(1)
        assert row is not None
        store.set_labels(1, ["pop"], "import")
        first = correct_tracks(store, [Correction(row, ("hiphop",))], config, into_files=True)
        assert genres(tmp_path / "a.flac") == ("Rap",)
        assert [label.genre for label in store.labels_of(1)] == ["hiphop"]
        store.add_label(1, "Metal", "tags")
        undo_run(store, first.run_id, Told())
        assert [(label.genre, label.source) for label in store.labels()] == [
            ("Metal", "tags"), ("pop", "import")
        ]  # fmt: skip
        second = correct_tracks(store, [Correction(row, ("hiphop",))], config, into_files=True)
        store.set_labels(1, ["Soul"], "user")
        undo_run(store, second.run_id, Told())
        assert [label.genre for label in store.labels_of(1)] == ["Soul"]
        with pytest.raises(ConfigError):
            correct_tracks(
                store, [Correction(row, ("ok",)), Correction(row, ("a/b",))], config, into_files=True
            )
        assert [label.genre for label in store.labels_of(1)] == ["Soul"], "all or nothing"


def test_undo_says_whose_a_genre_is_that_it_leaves(tmp_path: Path) -> None:
    path = bytes(media.make(tmp_path / "a.flac", "flac", seconds=2))
    make_database(tmp_path / "t.db", [Made(path)], root=bytes(tmp_path))
    with closing(sqlite3.connect(tmp_path / "t.db")) as conn, conn:
        conn.execute("UPDATE tracks SET digest = NULL")
    from tagger.undo import undo_run

    def undone(run_id: int) -> tuple[Status, str]:
        told = Told()
        undo_run(store, run_id, told)
        (outcome,) = told.outcomes
        return outcome.status, outcome.reason

    with Store.open(tmp_path / "t.db") as store:
        row = store.track(1)
        assert row is not None
        first, second = (
            correct_tracks(store, [Correction(row, (genre,))], Config(), into_files=True).run_id
            for genre in ("Heavy", "Soul")
        )
        assert undone(first) == (Status.KEPT, f"has Soul, which run {second} wrote; undo that one first")
        assert undone(second)[0] is undone(first)[0] is Status.TAGGED and genres(tmp_path / "a.flac") == ()
        third = correct_tracks(store, [Correction(row, ("Heavy",))], Config(), into_files=True).run_id
        (tmp_path / "a.flac").unlink()
        assert undone(third) == (Status.FAILED, "cannot read its tags: the file is not there any more")
