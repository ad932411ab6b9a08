"""The crontab: one marked block for each library, and not a byte of anyone else's."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime

from tagger.errors import ScheduleError
from tagger.schedule.job import DAY_MIN, EVERY_MIN, Job, Planned, When, call, said
from tagger.schedule.quoting import cron_command

MAX_COMMAND_BYTES = 990
"""Vixie's cron, still the most common, cuts a command off after 999 bytes without a word."""

_MARK = b"tagger schedule"
_NOTHING_YET = re.compile(rb"no crontab for|no such file", re.I)


def text(job: Job) -> str:
    """The block of lines.

    Raises
    ------
    ScheduleError
        The command is too long for cron.
    """
    gentle = [b"nice", b"-n", b"19"]
    if shutil.which("ionice"):
        gentle += [b"ionice", b"-c", b"3"]
    command = cron_command([*gentle, *job.argv_logged])
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise ScheduleError(
            "The command is too long for a crontab line; set paths in the configuration (tagger config init) "
            "instead of naming the folders here."
        )
    begin, end = (mark.decode() for mark in _marks(job.name))
    note = "# Prints, and so mails, only on trouble. Made by `tagger schedule`."
    return f"{begin}\n{note}\n{_fields(job.when)} {command}\n{end}\n"


def _fields(when: When) -> str:
    def listed(values: tuple[int, ...]) -> str:
        return ",".join(map(str, values)) or "*"

    return f"{listed(when.past_hour)} {listed(when.hours)} * * *"


def _marks(name: str) -> tuple[bytes, bytes]:
    return (
        b"# >>> " + _MARK + b": " + os.fsencode(name) + b" >>>",
        b"# <<< " + _MARK + b": " + os.fsencode(name) + b" <<<",
    )


def available() -> bool:
    """Whether there is a crontab."""
    return shutil.which("crontab") is not None


def with_block(table: bytes, name: str, block: bytes) -> bytes:
    """The crontab `table` with the block of that name replaced, added at the end, or (empty) taken out.

    Raises
    ------
    ScheduleError
        Somebody has removed one of the two marks, so where the block ends is not known.
    """
    begin, end = _marks(name)
    lines = table.splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if line.strip() in (begin, end)]
    if not marks:
        gap = b"" if not block or not table or table.endswith(b"\n") else b"\n"
        return table + gap + block
    if len(marks) != 2 or lines[marks[0]].strip() != begin or lines[marks[1]].strip() != end:
        raise ScheduleError(
            "The marks of tagger's block in the crontab are no longer a pair; take what is left of it out "
            "with `crontab -e`, then run this again."
        )
    return b"".join(lines[: marks[0]]) + block + b"".join(lines[marks[1] + 1 :])


def install(job: Job) -> list[str]:
    """Put the job into the crontab; what was done, and what to know, in sentences."""
    table = _read()
    new = with_block(table, job.name, text(job).encode())
    notes = [
        "cron does not make up for what it missed while the computer was off or asleep; the next run does "
        "all of the work."
    ]
    if new == table:
        return ["The crontab has it already.", *notes]
    _write(new)
    return ["Added to the crontab.", *notes]


def remove(job_name: str) -> list[str]:
    """Take the job out of the crontab."""
    table = _read() if available() else b""
    new = with_block(table, job_name, b"")
    if new == table:
        return []
    _write(new)
    return ["Removed from the crontab."]


def planned(now: datetime) -> list[Planned]:
    """What the crontab says of tagger, in our blocks and elsewhere."""
    if not available():
        return []
    try:
        lines = _read().splitlines()
    except ScheduleError:
        return []
    found, ours = [], False
    for line in lines:
        if line.startswith((b"# >>> " + _MARK, b"# <<< " + _MARK)):
            ours = line.startswith(b"# >>>")
        elif b"tagger" in line and not line.lstrip().startswith(b"#"):
            shown = line.decode("utf-8", "replace").strip()
            when = _when(shown)
            found.append(Planned("cron", shown, when.next_after(now) if when else None, ours))
    return found


def _when(line: str) -> When | None:
    """The times of a line, where they are such as we write."""
    for every in EVERY_MIN:
        first = re.match(r"(\d+)(?:,\d+)* (\d+|\*)", line)
        if first and line.startswith(
            _fields(when := When((int(first[1]) + 60 * int(first[2].replace("*", "0"))) % DAY_MIN, every))
            + " "
        ):
            return when
    return None


def _read() -> bytes:
    done = call(["crontab", "-l"], check=False)
    if done.returncode == 0:
        return done.stdout
    if _NOTHING_YET.search(done.stderr):
        return b""
    # Not to be taken for an empty one: writing would lose what is in it.
    raise ScheduleError(f"The crontab cannot be read: {said(done)}")


def _write(table: bytes) -> None:
    if table.strip():
        call(["crontab", "-"], given=table)
    else:
        call(["crontab", "-r"])
