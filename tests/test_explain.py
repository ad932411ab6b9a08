"""`tagger explain`: from the database without listening, by listening otherwise; never a guess."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger import explain
from tagger.cli.explaining import bar_line
from tagger.store import Store
from tagger.tracks import GenreState, TagEdit
from tests import media
from tests.collections_made import make_database, some_tracks
from tests.inprocess import Here, here

__all__ = ["here"]

ANY = ("--threshold", "0", "--margin", "0")


def test_a_track_that_was_heard_written_corrected_and_put_back(
    made_library: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    path = folder / "flac.flac"
    shutil.copy(made_library / "flac.flac", path)
    unknown = here("explain", path, "--json").lines[0]
    assert not unknown["remembered"] and unknown["genres"] and unknown["history"] == []
    assert not (tmp_path / "data").exists(), "nothing is remembered of it"

    assert here("run", *ANY, folder).code == 0
    monkeypatch.setattr(explain, "listen", lambda _task: pytest.fail("it was listened to"))
    known = here("explain", path, "--json").lines[0]
    assert (
        known["remembered"] and known["genres"] == unknown["genres"] and known["chunks"] == unknown["chunks"]
    )
    assert known["file_genres"] == known["history"][0]["after"] and known["history"][0]["before"] == []
    assert known["loudness_lufs"] == unknown["loudness_lufs"] < 0 <= known["tempo_strength"]
    assert "LUFS" in here("explain", path).out
    assert known["chunks"][1]["start_s"] == pytest.approx(2.01, abs=0.01)
    assert all(sum(chunk["genres"].values()) == pytest.approx(1, abs=0.01) for chunk in known["chunks"])
    mean = np.mean([list(chunk["genres"].values()) for chunk in known["chunks"]], axis=0)
    assert max(known["genres"].values()) == pytest.approx(mean.max(), abs=0.01)

    assert here("correct", path, "Zouk").code == 0
    text = here("explain", path).out
    assert "In the file: Zouk." in text and "You said: Zouk (" in text
    assert "Over time:" in text and "0:00" in text and "in force" in text
    assert "`tagger run` would leave it alone (mode missing): has Zouk" in text
    assert here("explain", path, "--json").lines[0]["labels"] == [{"genre": "Zouk", "source": "user"}]
    assert all(len(line) <= 80 for line in text.splitlines()[1:] if not line.startswith("`tagger"))


def test_settled_and_gone_and_failed(tmp_path: Path, here: Here) -> None:
    db = tmp_path / "data" / "tagger.db"
    db.parent.mkdir()
    ids = make_database(db, some_tracks(10))
    from tagger.plan import WritePolicy
    from tagger.tracks import Outcome, Status

    with Store.open(db) as store:
        row = store.track(ids[0])
        assert row is not None
        run_id = store.begin_run("run", model_id="made@1", options={}, version="1")
        edit = TagEdit(GenreState(), GenreState(("Rock",)))
        edit_id = store.intend(run_id, row.id, row.path, edit, size_bytes=1, mtime_ns=1)
        store.settle(edit_id, "superseded")
        done = Outcome(row.path, Status.KEPT, "has Blues")
        store.set_outcome(run_id, row.id, done, settings_key=WritePolicy().key("made@1"))
    text = here("explain", row.path).out
    assert "leaves it at that until" in text and "changed since" in text
    assert "Over time" not in text, (
        "the model that heard it is not installed: nobody knows which genre is which"
    )
    failed = here("explain", "/music/bad/broken.mp3")
    assert failed.code == 0 and "It could not be heard: the file is empty" in failed.out
    nowhere = here("explain", "/music/none.mp3")
    assert nowhere.code == 3 and nowhere.err == "tagger: /music/none.mp3: there is no such file\n"
    predicted = here("predict", "--json", "/music/none.mp3")
    assert predicted.code == 1 and predicted.lines[0] == {
        "path": "/music/none.mp3", "status": "unreadable", "reason": "/music/none.mp3: there is no such file"
    }  # fmt: skip
    not_music = tmp_path / "x.mp3"
    not_music.write_text("no music")
    assert here("explain", not_music).code == 3


def test_a_changed_file_is_heard_anew(tmp_path: Path, here: Here) -> None:
    path = Path(media.make(tmp_path / "a.flac", "flac", seconds=5).decode())
    assert here("scan", path).code == 0
    media.make(path, "flac", seconds=9, seed=5)
    found = here("explain", path, "--json").lines[0]
    assert not found["remembered"] and found["duration_s"] == pytest.approx(9, abs=0.1)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.integers(1, 60))
def test_a_line_of_signs(values: list[float], n: int) -> None:
    n = min(n, len(values))
    line = bar_line(np.array(values), n, " .:-=+*#@")
    assert len(line) == n
    assert bar_line(np.ones(len(values)), n, " x@") == "@" * n
    assert bar_line(np.zeros(len(values)), n, " x@") == " " * n
