"""Watching: told once it has settled, never of our own writes, and out at Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("watchfiles")

import watchfiles

from tagger import watch
from tagger.errors import ConfigError, TaggerError
from tagger.job import run_lock
from tagger.watch import is_news, on_network, settled
from tests import media
from tests.conftest import Tagger, environment

WAIT_S = 90


class Watcher:
    """`tagger watch` in a process of its own."""

    def __init__(self, tmp_path: Path, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tagger", "watch", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.said = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def wait_for(self, text: str, *, times: int = 1) -> None:
        until_s = time.monotonic() + WAIT_S
        while self.said.count(text) < times:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until_s, f"{text!r} was not said:\n{self.said}"
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.reader.join(10)
        return code


@pytest.mark.parametrize("poll", [False, True])
def test_what_is_new_is_tagged_and_our_own_writes_start_nothing(
    tagger: Tagger, tmp_path: Path, poll: bool, made_library: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    shutil.copy(made_library / "flac.flac", music / "there.flac")
    always = ("--threshold", "0", "--margin", "0", "--settle", "0.5s", "-j", "1")
    watcher = Watcher(tmp_path, *always, *(["--poll"] if poll else []), music)
    try:
        watcher.wait_for("Watching ")
        with run_lock(tmp_path / "data" / "tagger.db"):  # free between runs
            pass
        if not poll:
            (music / "cover.jpg").write_bytes(b"x")
            (music / ".hidden.flac").write_bytes(b"x")
            time.sleep(1.5)
            shutil.copy(made_library / "mp3.mp3", music / "new.mp3")
            watcher.wait_for("new.mp3: no genre ->")
            time.sleep(2.5)  # time enough for a run that our own writes would have started
            assert watcher.said.count("To put back") == 2, watcher.said
        code = watcher.stop()
    finally:
        watcher.process.kill()
    assert code == 130 and "Traceback" not in watcher.said, watcher.said
    assert "there.flac: no genre ->" in watcher.said
    if not poll:
        assert "Interrupted" in watcher.said


def test_it_waits_until_nothing_changes_any_more(tmp_path: Path) -> None:
    """A file that grows for a while is told of once, and only afterwards."""
    growing = tmp_path / "growing.flac"

    def grow() -> None:
        for _ in range(12):
            with growing.open("ab") as file:
                file.write(b"x" * 1000)
            time.sleep(0.25)

    told = settled([os.fsencode(tmp_path)], settle_s=1.5, poll=False)
    assert next(told) == frozenset()
    writer = threading.Thread(target=grow)
    writer.start()
    first = next(told)
    assert not writer.is_alive(), "told of while it was still growing"
    assert os.fsencode(growing) in first
    told.close()


def test_polling_finds_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_MS", 200)
    told = settled([os.fsencode(tmp_path)], settle_s=0.2, poll=True)
    assert next(told) == frozenset()
    time.sleep(0.5)
    (tmp_path / "new.flac").write_bytes(b"x")
    assert os.fsencode(tmp_path / "new.flac") in next(told)
    told.close()


@pytest.fixture
def scanned(tagger: Tagger, tmp_path: Path, made_library: Path) -> Path:
    music = tmp_path / "music"
    (music / "album").mkdir(parents=True)
    for name in ("flac.flac", "mp3.mp3"):
        shutil.copy(made_library / name, music / "album" / name)
    assert tagger("run", "--threshold", "0", "--margin", "0", music).code == 0
    return music


def test_what_is_news(scanned: Path, tmp_path: Path) -> None:
    from tagger.store import Store

    roots = [os.fsencode(scanned)]
    album = scanned / "album"
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:

        def news(path: Path) -> bool:
            return is_news(store, os.fsencode(path), roots)

        assert not news(album / "flac.flac"), "as we wrote it"
        assert not news(album), "a folder of nothing but that"
        for name, content in (("a.txt", b"x"), (".b.mp3", b"x"), ("c.unknown", b"x" * 999)):
            (album / name).write_bytes(content)
            assert not news(album / name), name
        (scanned / "@eaDir").mkdir()
        (scanned / "@eaDir" / "d.mp3").write_bytes(b"x")
        assert not news(scanned / "@eaDir" / "d.mp3")
        assert not news(album / "never-there.mp3")
        assert not is_news(store, b"/somewhere/else.jpg", roots)
        (album / "new.mp3").write_bytes(b"x")
        assert news(album / "new.mp3") and news(album) and is_news(None, os.fsencode(album), roots)
        media.make(album / "no-suffix", "flac", seconds=1)
        assert news(album / "no-suffix"), "music by its content"
        os.utime(album / "flac.flac")
        assert news(album / "flac.flac"), "touched by somebody"
        (album / "mp3.mp3").unlink()
        assert news(album / "mp3.mp3"), "gone"
        album.rename(scanned / "other")
        assert news(album), "gone with all that was in it"
        assert news(scanned / "other"), "and here it is"


def test_another_run_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagger.cli import watching
    from tagger.errors import LockedError

    ended = iter([75, LockedError("locked"), 0])
    slept = []

    def run() -> int:
        end = next(ended)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(watching.time, "sleep", slept.append)
    watching._patiently(run)
    assert slept == [watching.AGAIN_S] * 2 and list(ended) == []


def test_network_disks_are_known(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_bytes(
        b"/dev/sda1 / ext4 rw 0 0\nnas:/m /mnt/my\\040music nfs4 rw\n//n/x /srv cifs rw 0 0\nodd\n"
    )
    assert on_network(b"/mnt/my music/jazz", mounts) and on_network(b"/srv", mounts)
    assert not on_network(b"/home/me", mounts) and not on_network(b"/mnt", mounts)
    assert not on_network(b"/srv", tmp_path / "none")


def test_what_cannot_be_watched_is_refused(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tagger("watch", tmp_path / "none")
    assert ran.code == 3 and "cannot be watched" in ran.err
    assert tagger("watch", "--settle", "soon", tmp_path).code == 2
    assert tagger("watch").code == 2
    with pytest.raises(TaggerError, match="not a folder"):
        watch.check_folders([os.fsencode(__file__)])

    def no_more(*_: object, **__: object) -> Iterator[set[object]]:
        raise OSError("OS file watch limit reached")
        yield set()

    monkeypatch.setattr(watchfiles, "watch", no_more)
    with pytest.raises(ConfigError, match=r"watch limit reached; raise the system's limit .* --poll"):
        list(settled([b"/"], settle_s=1, poll=False))
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError, match=r"pip install 'tagger\[watch\]'"):
        list(settled([b"/"], settle_s=1, poll=False))
