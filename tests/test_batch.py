"""The order in which tracks are listened to, and what becomes of a run that cannot look into everything."""

from __future__ import annotations

import errno
import heapq
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.batch import LONG_BYTES, long_ones_early
from tagger.store import Store
from tagger.tracks import ListenTask
from tests.collections_made import Made, make_database
from tests.inprocess import Here, here

__all__ = ["here"]

SIZES = st.lists(st.sampled_from([4, 9, 30, 64, 65, 300]).map(lambda megabytes: megabytes << 20), max_size=60)


def task(number: int) -> ListenTask:
    return ListenTask(path=b"%d" % number, model_dir="")


def order(sizes: Sequence[int], n_first: int) -> list[int]:
    tasks = [task(i) for i in range(len(sizes))]
    return [int(t.path) for t in long_ones_early(tasks, lambda t: sizes[int(t.path)], n_first)]


def until_done(work: Sequence[int], n_jobs: int) -> int:
    """How long it takes when whoever is free takes the next."""
    free_at = [0] * n_jobs
    for took in work:
        heapq.heappush(free_at, heapq.heappop(free_at) + took)
    return max(free_at)


@given(sizes=SIZES, n_first=st.integers(0, 16))
def test_every_track_once_the_first_stay_and_equals_keep_their_order(sizes: list[int], n_first: int) -> None:
    found = order(sizes, n_first)
    assert sorted(found) == list(range(len(sizes)))
    assert found[:n_first] == list(range(min(n_first, len(sizes))))
    rest = found[n_first:]
    long = [i for i in rest if sizes[i] >= LONG_BYTES]
    assert rest[: len(long)] == long == sorted(long)
    assert rest[len(long) :] == sorted(rest[len(long) :])


def test_a_mix_at_the_end_of_a_folder_is_not_waited_for() -> None:
    sizes = [8 << 20] * 200 + [180 << 20] * 2  # two hundred songs, two mixes of two hours
    assert until_done(sizes, 8) > 1.5 * sum(sizes) / 8
    assert until_done([sizes[i] for i in order(sizes, 16)], 8) < 1.1 * sum(sizes) / 8


# --- what cannot be looked into


def last_run(tmp_path: Path) -> tuple[str, int | None]:
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        (run,) = store.runs(1)
    return run.ended, run.exit_code


@pytest.mark.parametrize("command", ["run", "scan"])
def test_a_folder_that_is_not_there_is_a_failure_each_time(here: Here, tmp_path: Path, command: str) -> None:
    music, told = tmp_path / "music", tmp_path / "told.json"
    music.mkdir()
    write = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    settings = tmp_path / "c.toml"
    settings.write_text(f"on_finish = {json.dumps([sys.executable, '-c', write])}\n")
    for _ in range(2):
        ran = here(command, "--config", settings, music, tmp_path / "nope")
        assert ran.code == 1 and f"{tmp_path}/nope: cannot be scanned" in ran.err
        assert "not read" in ran.out
        assert last_run(tmp_path) == ("done", 1)
        facts = json.loads(told.read_text())
        assert (facts["exit_code"], facts["not_read"], facts["failed"]) == (1, 1, 0)
    assert here(command, "--quiet", music, tmp_path / "nope").code == 1
    assert here(command, tmp_path / "nope").code == 3 and last_run(tmp_path) == ("done", 3)
    assert here(command, music).code == 0 and last_run(tmp_path) == ("done", 0)
    (tmp_path / "words.txt").write_text("no music")
    assert here(command, music, tmp_path / "words.txt").code == 1


def test_a_folder_that_may_not_be_read_is_a_failure(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, real = os.fsencode(tmp_path / "music" / "closed"), os.scandir
    os.makedirs(closed)

    def scandir(path: bytes) -> object:  # root may read everything
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        ran = here("run", tmp_path / "music")
    assert ran.code == 1 and "closed: the folder cannot be read: permission denied" in ran.err
    assert here("run", tmp_path / "music").code == 0


def test_an_ignore_file_that_cannot_be_read_hides_its_folder(here: Here, tmp_path: Path) -> None:
    """What lies below is not looked at, so nothing is said of it: it is not missing."""
    music = tmp_path / "music"
    (music / "a" / ".taggerignore").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    make_database(tmp_path / "data" / "tagger.db", [Made(os.fsencode(music / "a" / "x.mp3"), "jazz", 0.9)])
    assert here("run", music).code == 1
    assert json.loads(here("status", "--json").out)["missing"] == 0


def test_what_is_no_failure(here: Here, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "nowhere.mp3").symlink_to("/nope/x.mp3")
    (music / ".taggerignore").write_text("\\\n")
    ran = here("run", music)
    assert ran.code == 0 and "is not a pattern" in ran.err
