"""Files that are broken, lie, or were made to do harm: each costs nobody else, and each ends with a reason.

The figures of `tests.reliability` in reduced size, and every file that broke a promise once (`tests/corpus`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.classify import listen
from tagger.tracks import ListenTask, Status
from tests import media
from tests.reliability import bombs, disks, fuzz, hostile, meddling, offline, places, sameness
from tests.reliability.figures import NotHere

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_R27_what_broke_a_promise_once(name: str, tmp_path: Path) -> None:
    model = shipped_model_dir()
    copy = shutil.copy(CORPUS / name, tmp_path)
    assert fuzz.trial(os.fsencode(copy), os.fspath(model), read_card(model)) == []


@pytest.mark.slow
def test_R27_mutations_of_every_container(tmp_path: Path) -> None:
    figure = fuzz.fuzz(tmp_path, size=30)
    assert figure, figure.notes


@pytest.mark.slow
def test_R20_good_and_bad_files_side_by_side(tmp_path: Path) -> None:
    figure = hostile.hostile(tmp_path, size=len(hostile.GOOD))
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
def test_R30_names_nobody_expects(tmp_path: Path) -> None:
    figure = places.names(tmp_path, size=1)
    assert figure, (figure.measured, figure.notes)


def test_R31_things_that_are_no_files(tmp_path: Path) -> None:
    figure = places.no_files(tmp_path, size=1)
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
def test_R32_places_where_one_may_not_read_or_write(tmp_path: Path) -> None:
    figure = places.forbidden(tmp_path, size=1)
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
def test_R33_files_meddled_with_during_the_run(tmp_path: Path) -> None:
    figure = meddling.meddling(tmp_path, size=1)
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
def test_R25_workers_and_order_make_no_difference(tmp_path: Path) -> None:
    figure = sameness.sameness(tmp_path, size=4)
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
def test_R51_no_network(tmp_path: Path) -> None:
    figure = offline.offline(tmp_path, size=5)
    assert figure, (figure.measured, figure.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "happens", [disks.full_music_disk, disks.full_database_disk, disks.unmounted_disk, disks.wrong_clock]
)
def test_disks_that_are_full_gone_or_wrong_about_the_time(
    happens: Callable[[Path], None], tmp_path: Path
) -> None:
    try:
        happens(tmp_path)
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_R23_bombs(tmp_path: Path) -> None:
    figure = bombs.bombs(tmp_path, size=4)
    assert figure, (figure.measured, figure.notes)


def test_R27_mpeg_frames_in_another_container_do_not_make_an_mp3(tmp_path: Path) -> None:
    """Old QuickTime has no ``ftyp``; a tag put in front of it would leave all its tables pointing nowhere."""
    path = tmp_path / "old.mp4"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libmp3lame", rate=44100)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(media.music(3).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"ftyp", b"free", 1))
    heard = listen(ListenTask(os.fsencode(path), os.fspath(shipped_model_dir())))
    assert (heard.failure, heard.analysis) == (Status.UNREADABLE, None), heard
    assert "not a kind of audio file whose tags are known" in heard.reason
