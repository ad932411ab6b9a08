"""Disks that are full or gone, and clocks that are wrong: what the program does then, step by step."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tagger.tags import read_tags
from tests import media
from tests.conftest import Ran
from tests.reliability.program import ANY, contents, mounted, strays, tagger

DRIVER = "tests.reliability.driver"
DECADE_S = 10 * 365 * 86400


def tracks(folder: Path, n: int, *, first: int = 0) -> list[Path]:
    """Small files with different sound."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for seed in range(first, first + n):
        path = folder / f"{seed}.flac"
        media.make(path, "flac", seconds=2.0, sr=22050, channels=1, seed=seed)
        made.append(path)
    return made


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler.bin"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for block in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while file.write(bytes(block)):
                    pass
    return filler


def statuses(ran: Ran) -> list[str]:
    """Of all tracks, sorted."""
    return sorted(line["status"] for line in ran.lines)


def full_music_disk(folder: Path) -> None:
    """No room for the copies: the files stay, the message says why, and the next run finishes."""
    music = folder / "music"
    music.mkdir()
    with mounted(music, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        tracks(music, 3)
        filler = fill(music)
        before = contents(music)
        ran = tagger(folder, "run", *ANY, music)
        assert (ran.code, statuses(ran)) == (1, ["failed"] * 3), ran
        assert all("the disk is full" in line["reason"] for line in ran.lines), ran.out
        assert contents(music) == before
        filler.unlink()
        ran = tagger(folder, "run", *ANY, music)
        assert (ran.code, statuses(ran)) == (0, ["tagged"] * 3), ran
        assert not strays(music)


def full_database_disk(folder: Path) -> None:
    """No room for a database, then none for it to grow: one sentence, exit 3, no file lost or half done."""
    music, data = folder / "music", folder / "data"
    made = tracks(music, 3)
    data.mkdir()
    with mounted(data, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        filler = fill(data)
        before = contents(music)
        none = tagger(folder, "run", *ANY, music)
        assert none.code == 3, none
        assert "disk is full" in none.err.lower(), none.err
        assert contents(music) == before
        filler.unlink()
        assert tagger(folder, "run", *ANY, music).code == 0
        made += tracks(music, 12, first=3)
        before = contents(music)
        filler = fill(data)
        partly = tagger(folder, "run", *ANY, music)
        assert partly.code == 3, partly
        assert "disk is full" in partly.err.lower(), partly.err
        for path in made:
            now = contents(music)[os.fsencode(path)]
            assert now == before[os.fsencode(path)] or read_tags(os.fsencode(path)).genres, path
        filler.unlink()
        last = tagger(folder, "run", *ANY, music)
        assert last.code == 0, last
        assert all(read_tags(os.fsencode(path)).genres for path in made)
        assert not strays(music)


def unmounted_disk(folder: Path) -> None:
    """A library that is suddenly empty, or not there, is not forgotten."""
    music, away = folder / "music", folder / "away"
    tracks(music / "disk", 12)
    assert tagger(folder, "run", *ANY, music).code == 0
    (music / "disk").rename(away)
    (music / "disk").mkdir()
    for gone in (music, music / "disk"):
        empty = tagger(folder, "run", *ANY, gone)
        assert (empty.code, empty.lines) == (0, []), empty
        assert "none was marked as missing" in empty.err, empty.err
    shutil.rmtree(music)
    absent = tagger(folder, "run", *ANY, music)
    assert absent.code == 3, absent
    assert "no such file or folder" in absent.err, absent.err
    assert tagger(folder, "status", "--json").lines[0]["missing"] == 0
    music.mkdir()
    away.rename(music / "disk")
    back = tagger(folder, "run", *ANY, music)
    assert (back.code, statuses(back)) == (0, ["unchanged"] * 12), back


def wrong_clock(folder: Path) -> None:
    """Files from before 1970 and from the next century, and a clock that goes back between the runs."""
    music = folder / "music"
    made = tracks(music, 4)
    for path, seconds in zip(made, (-1, 0, 4_102_444_800, 2_000_000_000), strict=True):
        os.utime(path, ns=(0, seconds * 10**9 + (1 if seconds else 0)))
    later, earlier = ({"CLOCK_OFFSET_S": str(sign * DECADE_S)} for sign in (1, -1))
    first = tagger(folder, "run", *ANY, "--preserve-mtime", music, module=DRIVER, env=later)
    assert (first.code, statuses(first)) == (0, ["tagged"] * 4), first
    assert [path.stat().st_mtime_ns for path in made[:2]] == [-(10**9) + 1, 0]
    again = tagger(folder, "run", *ANY, music, module=DRIVER, env=earlier)
    assert (again.code, statuses(again)) == (0, ["unchanged"] * 4), again
    media.make(made[3], "flac", seconds=2.0, sr=22050, channels=1, seed=99)
    os.utime(made[3], ns=(0, 10**9))  # another file, and older than the one before
    changed = tagger(folder, "run", *ANY, music, module=DRIVER, env=earlier)
    assert (changed.code, statuses(changed)) == (0, ["tagged", *["unchanged"] * 3]), changed
    for command in (["runs"], ["status"], ["ls"]):
        assert tagger(folder, *command).code == 0
    undone = tagger(folder, "undo", "--yes", "--json", module=DRIVER, env=earlier)
    assert undone.code == 0, undone
    assert [line["path"] for line in undone.lines] == [str(made[3])], "the last run is the last one begun"
