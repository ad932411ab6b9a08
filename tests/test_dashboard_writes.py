"""Corrections and undo from the pages: labels, files by the safe writer, nothing without --allow-write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("streamlit")

from dashboards import corrections, frame, hearing, upload
from tagger.config import Config
from tagger.errors import ConfigError, LockedError, StoreError
from tagger.job import run_lock
from tagger.replace import FileStat
from tagger.store import Store
from tagger.tags import read_tags
from tagger.tracks import Status
from tests import media
from tests.collections_made import Made, make_database
from tests.test_dashboard_pages import fresh, open_page, press, press_key, select_row, texts

__all__ = ["fresh"]  # the fixture that gives each test settings of its own


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two tagged files on the disk and a database that knows them: ids 1 and 2."""
    root = tmp_path / "music"
    root.mkdir()
    tracks = []
    for name, container in (("a.mp3", "mp3"), ("b.flac", "flac")):
        path = bytes(media.make(root / name, container, seconds=3, tags={"title": name, "genre": "Opera"}))
        tracks.append(Made(path, "jazz", 0.9, ("Opera",), title=name))
    make_database(tmp_path / "tagger.db", tracks, root=bytes(root))
    with Store.open(tmp_path / "tagger.db") as store, store.transaction():
        for track_id in (1, 2):
            row = store.track(track_id)
            assert row is not None
            stat = FileStat.of(row.path)
            store._update(
                "tracks",
                track_id,
                {"size_bytes": stat.size_bytes, "mtime_ns": stat.mtime_ns, "digest": None},
            )
    return Config(db=tmp_path / "tagger.db")


def genres_of(config: Config, track_id: int) -> tuple[str, ...]:
    with Store.open(config.db, read_only=True) as store:
        row = store.track(track_id)
    assert row is not None
    found = read_tags(row.path).genres
    assert row.file_genres == found, "the database and the file disagree"
    return found


def labels(config: Config) -> list[tuple[int | None, str, str]]:
    with Store.open(config.db, read_only=True) as store:
        return [(label.track_id, label.genre, label.source) for label in store.labels()]


@pytest.mark.parametrize("track_id", [1, 2])
def test_a_correction_is_a_label_and_a_genre_in_the_file(config: Config, track_id: int) -> None:
    outcome = corrections.correct(config, track_id, "hiphop", into_file=True)
    assert outcome.status is Status.TAGGED
    assert (outcome.before, outcome.after) == (("Opera",), ("Hip-Hop",))
    assert genres_of(config, track_id) == ("Hip-Hop",)
    assert labels(config) == [(track_id, "hiphop", "user")]
    with Store.open(config.db, read_only=True) as store:
        (edit,) = store.edits_of_track(track_id)
        last = store.runs(1)[0]
    assert edit.state == "done" and (last.kind, last.state, last.exit_code) == ("write", "done", 0)
    assert corrections.take_back(config, edit.id).status is Status.TAGGED
    assert genres_of(config, track_id) == ("Opera",) and labels(config) == []
    with pytest.raises(StoreError, match="nothing to undo"):
        corrections.take_back(config, edit.id)


def test_a_label_alone_leaves_the_file(config: Config) -> None:
    assert corrections.correct(config, 1, "pop", into_file=False).status is Status.KEPT
    assert genres_of(config, 1) == ("Opera",) and labels(config) == [(1, "pop", "user")]


def test_a_genre_of_ones_own(config: Config) -> None:
    corrections.correct(config, 1, " Zouk & Kompa ", into_file=True)
    assert genres_of(config, 1) == ("Zouk & Kompa",)
    assert labels(config) == [(1, "Zouk & Kompa", "user")]
    for bad in ("Rock/Pop", "", "x" * 100, "a\0b", "17"):
        with pytest.raises(ConfigError):
            corrections.correct(config, 1, bad, into_file=True)
    assert genres_of(config, 1) == ("Zouk & Kompa",)


def test_what_is_there_already_is_not_written_again(config: Config) -> None:
    before = FileStat.of(bytes(config.db.parent / "music" / "a.mp3"))
    outcome = corrections.correct(config, 1, "opera", into_file=True)
    assert outcome.status is Status.KEPT
    assert FileStat.of(bytes(config.db.parent / "music" / "a.mp3")) == before


def test_a_file_that_is_gone_is_a_sentence(config: Config) -> None:
    (config.db.parent / "music" / "a.mp3").unlink()
    outcome = corrections.correct(config, 1, "pop", into_file=True)
    assert outcome.status is Status.FAILED and outcome.reason
    assert labels(config) == [(1, "pop", "user")]


def test_nothing_is_written_beside_a_run(config: Config) -> None:
    with run_lock(config.db):
        for attempt in (
            lambda: corrections.correct(config, 1, "pop", into_file=True),
            lambda: corrections.take_back(config, 1),
            lambda: corrections.take_back_run(config, 1),
        ):
            with pytest.raises(LockedError):
                attempt()
    assert labels(config) == [] and genres_of(config, 1) == ("Opera",)


def test_a_whole_run_is_taken_back(config: Config) -> None:
    for track_id in (1, 2):
        corrections.correct(config, track_id, "pop", into_file=True)
    with Store.open(config.db, read_only=True) as store:
        run_id = store.runs(1)[0].id
    summary, outcomes = corrections.take_back_run(config, run_id)
    assert summary.counts == {Status.TAGGED: 1} and len(outcomes) == 1
    assert genres_of(config, 2) == ("Opera",) and genres_of(config, 1) == ("Pop",)


def test_review_writes_only_when_allowed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("review")
    press_key(app, "1")
    assert labels(config) == [] and genres_of(config, 1) == ("Opera",)
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("review")
    next(b for b in app.button if b.label.endswith("is right") and "Jazz" in b.label).click().run()
    assert not app.exception and labels(config) == [(1, "jazz", "user")] and genres_of(config, 1) == ("Jazz",)
    app.toggle(key="into_file").set_value(False).run()
    next(b for b in app.button if b.label == "The file is right").click().run()
    assert labels(config)[1:] == [(2, "Opera", "user")] and genres_of(config, 2) == ("Opera",)
    assert any("All done" in s.value for s in app.success)


def test_review_beside_a_run_says_so_and_stays(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("review")
    with run_lock(config.db):
        press_key(app, "1")
    assert "Not stored: Another run" in texts(app) and app.get("progress")[0].proto.text.startswith("0 of")


def test_undo_on_the_track_and_on_the_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections.correct(config, 1, "pop", into_file=True)
    app = open_page("track", id="1")
    assert "Undo the last change" not in [b.label for b in app.button]
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("track", id="1")
    next(b for b in app.button if b.label == "Undo the last change").click().run()
    assert not app.exception and genres_of(config, 1) == ("Opera",) and "put back" in texts(app)


def test_undo_is_of_the_track_that_is_shown(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a neighbour was shown at the former one's address, and the click undid the former one's."""
    for track_id in (1, 2):
        corrections.correct(config, track_id, "pop", into_file=True)
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    monkeypatch.setattr("dashboards.track.nearest_in", lambda *_, **__: ([(2, 0.9)], 0))
    app = open_page("track", id="1")
    select_row(app, 1, 0)
    press(app, "Go to this track")
    assert app.query_params["id"] == "2" and app.text[0].value == "b.flac"
    press(app, "Undo the last change")
    assert "The former genre was put back." in texts(app)
    assert genres_of(config, 1) == ("Pop",) and genres_of(config, 2) == ("Opera",)


def test_a_click_undoes_nothing_that_was_not_shown(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections.correct(config, 1, "pop", into_file=True)
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("track", id="1")
    corrections.correct(config, 1, "rock", into_file=True)
    press(app, "Undo the last change")
    assert not app.exception and genres_of(config, 1) == ("Rock",)
    press(app, "Undo the last change")
    assert genres_of(config, 1) == ("Pop",)


def test_a_run_is_undone_that_was_selected(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one took its place in the table while it was asked about."""
    corrections.correct(config, 1, "pop", into_file=True)
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("runs")
    select_row(app, 0, 0)
    assert "Run 2" in [header.value for header in app.subheader]
    corrections.correct(config, 2, "pop", into_file=True)
    press(app, "Yes, put them back")
    assert not app.exception and "Run 2 was taken back: 1 put back." in texts(app)
    assert genres_of(config, 1) == ("Opera",) and genres_of(config, 2) == ("Pop",)
    assert not app.subheader, "no run is selected, and none can be undone by mistake"


def test_a_selected_run_stays_selected(config: Config) -> None:
    corrections.correct(config, 1, "pop", into_file=True)
    app = open_page("runs")
    select_row(app, 0, 1)
    corrections.correct(config, 2, "pop", into_file=True)
    app.run()
    assert list(app.dataframe[0].value["id"]) == [3, 2, 1]
    assert [header.value for header in app.subheader] == ["Run 1"]


def test_a_press_in_haste_judges_no_track_unseen(config: Config) -> None:
    """What is pressed before the next track is drawn is meant for the former one, whose buttons are gone."""
    app = open_page("review")
    before = {b.proto.id for b in app.button}
    press_key(app, "1")
    assert before and not before & {b.proto.id for b in app.button}


def test_what_was_agreed_on_is_not_called_unsure(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(frame.WRITE_VARIABLE, "1")
    app = open_page("review")
    press(app, "Jazz is right")
    press(app, "Back")
    assert "The model says jazz, at 90%, and so does the file." in texts(app)


# --- uploads ---


@pytest.fixture
def model() -> tuple[str, object]:
    from tagger.bundle import shipped_model_dir, shipped_models
    from tagger.card import read_card

    if not shipped_models():
        pytest.skip("no model is shipped yet")
    directory = shipped_model_dir(shipped_models()[0])
    return str(directory), read_card(directory)


def test_an_uploaded_file_is_heard_whatever_it_is_called(tmp_path: Path, model: tuple[str, object]) -> None:
    for container in ("mp3", "wma"):
        path = media.make(tmp_path / "x", container, seconds=9)
        done = upload.listened(Path(os.fsdecode(path)).read_bytes(), *model)  # type: ignore[arg-type]
        assert done.problem == "" and done.heard is not None and done.heard.analysis is not None
        assert done.heard.analysis.analysed_s == pytest.approx(9, abs=0.2)
        assert done.sound is not None and done.picture.startswith("data:image/png;base64,")


@pytest.mark.parametrize("content", [b"", b"<html>no music</html>", b"ID3\x04\0\0\0\0\0\0" + bytes(5000)])
def test_a_bad_upload_is_a_sentence(model: tuple[str, object], content: bytes) -> None:
    done = upload.listened(content, *model)  # type: ignore[arg-type]
    assert done.heard is None and done.problem.endswith(".") and "/proc" not in done.problem


def test_a_long_upload_is_refused_before_it_is_heard(
    tmp_path: Path, model: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MAX_MINUTES", 0.1)
    monkeypatch.setattr(hearing, "hear", lambda *_: pytest.fail("it was listened to"))
    path = media.make(tmp_path / "x.flac", "flac", seconds=9)
    assert "is the most" in upload.listened(Path(os.fsdecode(path)).read_bytes(), *model).problem  # type: ignore[arg-type]


def test_nothing_of_an_upload_stays(
    tmp_path: Path, model: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    seen = []
    heard = hearing.hear

    def watching(path: bytes, model_dir: str) -> object:
        seen.append((list((tmp_path / "tmp").iterdir()), os.path.getsize(path)))
        return heard(path, model_dir)

    monkeypatch.setattr(hearing, "hear", watching)
    path = media.make(tmp_path / "x.mp3", "mp3", seconds=5)
    upload.listened(Path(os.fsdecode(path)).read_bytes(), *model)  # type: ignore[arg-type]
    ((names, size),) = seen
    assert names == [] and size == os.path.getsize(path), "while it is listened to it has no name"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_upload_page(tmp_path: Path, model: tuple[str, object]) -> None:
    good = Path(os.fsdecode(media.make(tmp_path / "good.mp3", "mp3", seconds=9)))
    app = open_page("upload")
    assert "100 MB" in app.file_uploader[0].label and "30 minutes" in app.file_uploader[0].label
    app.file_uploader[0].set_value(
        [("![x](http://evil.invalid).mp3", good.read_bytes(), "audio/mpeg"), ("bad.mp3", b"no", "audio/mpeg")]
    ).run(timeout=120)
    assert not app.exception
    assert "The model" in texts(app) and app.get("audio")
    assert [e.value for e in app.error] == ["This file cannot be judged."]


def test_the_upload_page_gives_the_genre_above(
    tmp_path: Path, model: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, card = model
    monkeypatch.setenv("TAGGER_MODEL", directory)
    monkeypatch.setenv("TAGGER_THRESHOLD", "0.999")
    monkeypatch.setenv("TAGGER_PARENTS", ",".join(f"{label}=Everything" for label in card.genres))  # type: ignore[attr-defined]
    song = Path(os.fsdecode(media.make(tmp_path / "song.mp3", "mp3", seconds=5))).read_bytes()
    app = open_page("upload")
    app.file_uploader[0].set_value([("song.mp3", song, "audio/mpeg")]).run(timeout=120)
    assert "The model gives it no genre" in texts(app)
    monkeypatch.setenv("TAGGER_WRITE_PARENTS", "true")
    app.run(timeout=120)
    assert not app.exception and "The model calls it Everything, at 100%" in texts(app)


def test_the_upload_page_names_what_a_run_would_write(
    tmp_path: Path, model: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, card = model
    monkeypatch.setenv("TAGGER_MODEL", directory)
    monkeypatch.setenv("TAGGER_THRESHOLD", "0.01")
    monkeypatch.setenv("TAGGER_MARGIN", "0")
    monkeypatch.setenv("TAGGER_PARENTS", ",".join(f"{label}=Everything" for label in card.genres))  # type: ignore[attr-defined]
    monkeypatch.setenv("TAGGER_WRITE_PARENTS", "true")
    monkeypatch.setenv("TAGGER_GENRES", ",".join(f"{label}=My {label}" for label in card.genres))  # type: ignore[attr-defined]
    song = Path(os.fsdecode(media.make(tmp_path / "song.mp3", "mp3", seconds=5))).read_bytes()
    app = open_page("upload")
    app.file_uploader[0].set_value([("song.mp3", song, "audio/mpeg")]).run(timeout=120)
    said = next(text.value for text in app.text if "The model calls it" in text.value)
    assert said.splitlines()[1].startswith("A run would write: My ") and said.endswith(", Everything")
    monkeypatch.setenv("TAGGER_GENRES", ",".join(f"{label}=" for label in card.genres))  # type: ignore[attr-defined]
    app.run(timeout=120)
    assert "A run would write nothing" in texts(app)
