"""What is to run by itself and when, whichever program starts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tagger.errors import ScheduleError

DAY_MIN = 24 * 60
EVERY_MIN = (10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, DAY_MIN)
"""Distances between runs that fall on the same minutes every day: what every one of the programs can do."""

QUIET_CODES = (75, 130)
"""Exit codes that are no trouble: another run holds the lock; somebody, or the shutdown, ended this one."""

_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class When:
    """The minutes of the day at which to run."""

    at_min: int = 3 * 60 + 30
    """One of them, 0-1439."""
    every_min: int = DAY_MIN
    """Distance to the next, one of `EVERY_MIN`."""

    @property
    def minutes(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(range(self.at_min % self.every_min, DAY_MIN, self.every_min))

    @property
    def hours(self) -> tuple[int, ...]:
        """The hours; empty for every hour."""
        hours = tuple(dict.fromkeys(minute // 60 for minute in self.minutes))
        return () if len(hours) == 24 else hours

    @property
    def past_hour(self) -> tuple[int, ...]:
        """The minutes past each of the hours."""
        return tuple(sorted({minute % 60 for minute in self.minutes}))

    def next_after(self, now: datetime) -> datetime:
        """The first time after `now`."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        times = (midnight + timedelta(days=day, minutes=minute) for day in (0, 1) for minute in self.minutes)
        return next(time for time in times if time > now)

    def __str__(self) -> str:
        if self.every_min == DAY_MIN:
            return f"every day at {self.at_min // 60:02}:{self.at_min % 60:02}"
        return f"every {self.every_min} min" if self.every_min < 60 else f"every {self.every_min // 60} h"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that runs by itself."""

    command: tuple[bytes, ...]
    """The program, by its full path, and its command."""
    arguments: tuple[bytes, ...]
    when: When
    log: bytes
    """Full path of the log file, for what starts programs without keeping what they print."""
    library: str = ""

    @property
    def argv(self) -> tuple[bytes, ...]:
        """What is started by a program that keeps what is printed."""
        return self.command + self.arguments

    @property
    def argv_logged(self) -> tuple[bytes, ...]:
        """What is started by the others."""
        return (*self.command, b"--log", self.log, *self.arguments)

    @property
    def name(self) -> str:
        """Of units, tasks and marks: letters, digits, ``-`` and ``_``."""
        return job_name(self.library)


@dataclass(frozen=True, slots=True)
class Planned:
    """Something found to be planned."""

    kind: str
    what: str
    """The line, file or task."""
    next: datetime | None = None
    """In local time; None where it is not known."""
    ours: bool = True
    """Made by `tagger schedule`, and not by hand."""


def job_name(library: str) -> str:
    """Name of the job of a library; empty for the job of no library."""
    return f"tagger-{library}" if library else "tagger"


def program() -> tuple[bytes, ...]:
    """How this very program is started from anywhere."""
    script = Path(sys.executable).with_name("tagger.exe" if os.name == "nt" else "tagger")
    if script.is_file():
        return (os.fsencode(script),)
    # -P: a folder called tagger in the directory it is started from must not be taken for the program.
    return (os.fsencode(sys.executable), b"-P", b"-m", b"tagger")


def parse_at(text: str) -> int:
    """``"03:30"`` as minutes after midnight.

    Raises
    ------
    ValueError
        It is no time of day.
    """
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip())
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f"{text!r} is no time of day such as 03:30")
    return int(found[1]) * 60 + int(found[2])


def parse_every(text: str) -> int:
    """``"6h"`` or ``"30m"`` as minutes.

    Raises
    ------
    ValueError
        It does not divide the day or the hour.
    """
    found = re.fullmatch(r"(\d{1,4}) ?(m|min|h|d)", text.strip())
    minutes = int(found[1]) * {"m": 1, "min": 1, "h": 60, "d": DAY_MIN}[found[2]] if found else 0
    if minutes not in EVERY_MIN:
        allowed = ", ".join(f"{m}m" if m < 60 else f"{m // 60}h" for m in EVERY_MIN)
        raise ValueError(f"{text!r} is not one of {allowed}")
    return minutes


def call(
    command: Sequence[str], *, given: bytes = b"", check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run a program of the system.

    Raises
    ------
    ScheduleError
        It is not there, does not end, or (with `check`) fails.
    """
    path = shutil.which(command[0])
    if path is None:
        raise ScheduleError(f"The program {command[0]} is not there; choose another --kind.")
    try:
        done = subprocess.run(
            [path, *command[1:]], input=given, capture_output=True, timeout=_WAIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ScheduleError(f"`{' '.join(command)}` did not end within {_WAIT_S:.0f} s.") from None
    except OSError as error:
        raise ScheduleError(f"`{' '.join(command)}` cannot be started: {error.strerror}.") from error
    if check and done.returncode:
        raise ScheduleError(f"`{' '.join(command)}` failed: {said(done)}")
    return done


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a failed program has to say, in one line."""
    text = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())
    return text or f"exit code {done.returncode}."


def write_own(files: Mapping[Path, bytes], mark: bytes) -> dict[Path, bytes | None]:
    """Write files that are ours, all or none; what was in their places, for `put_back`.

    Raises
    ------
    ScheduleError
        A file without our mark is in a place, or one cannot be written.
    """
    former: dict[Path, bytes | None] = {}
    try:
        for path, content in files.items():
            old = path.read_bytes() if path.is_file() else None
            if old is not None and mark not in old:
                raise ScheduleError(
                    f"{path} was not made by tagger, so it is left alone; move it away first."
                )
            former[path] = old
            path.parent.mkdir(parents=True, exist_ok=True)
            if old != content:
                path.write_bytes(content)
    except OSError as error:
        put_back(former)
        raise ScheduleError(f"{path} cannot be written: {error.strerror}.") from error
    except ScheduleError:
        put_back(former)
        raise
    return former


def put_back(former: Mapping[Path, bytes | None]) -> None:
    """Have files as they were before `write_own`: what failed must not look as if it were planned."""
    for path, content in former.items():
        with suppress(OSError):
            if content is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != content:
                path.write_bytes(content)


def own_files(folder: Path, pattern: str, mark: bytes) -> Iterator[tuple[Path, bytes]]:
    """Our files in a folder and what is in them."""
    for path in sorted(folder.glob(pattern)) if folder.is_dir() else ():
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if mark in content:
            yield path, content
