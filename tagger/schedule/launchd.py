"""A launch agent of macOS. launchd itself runs at waking up what was missed asleep."""

from __future__ import annotations

import os
import plistlib
import shutil
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tagger.errors import ScheduleError
from tagger.schedule.job import Job, Planned, When, call, own_files, put_back, write_own

_MARK = b"<key>MadeBy</key>\n\t<string>tagger schedule</string>"


def text(job: Job) -> str:
    """The property list.

    Raises
    ------
    ScheduleError
        A path holds what a property list cannot.
    """
    try:
        agent = {
            "Label": job.name,
            "MadeBy": "tagger schedule",
            "ProgramArguments": [part.decode("utf-8") for part in job.argv_logged],
            "StartCalendarInterval": _times(job.when),
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "Nice": 19,
        }
        return plistlib.dumps(agent).decode("utf-8")
    except ValueError:  # not UTF-8, or with control characters
        raise ScheduleError(
            "A property list holds no such file name; set paths in the configuration (tagger config init)."
        ) from None


def _times(when: When) -> list[dict[str, int]]:
    if not when.hours:
        return [{"Minute": minute} for minute in when.past_hour]
    return [{"Hour": minute // 60, "Minute": minute % 60} for minute in when.minutes]


def path_of(name: str) -> Path:
    """The file of the agent of that name."""
    return folder() / f"{name}.plist"


def folder() -> Path:
    """Where the agents of this user lie."""
    return Path.home() / "Library" / "LaunchAgents"


def available() -> bool:
    """Whether this is macOS."""
    return sys.platform == "darwin" and shutil.which("launchctl") is not None


def _domain() -> str:
    return f"gui/{os.getuid() if hasattr(os, 'getuid') else 0}"


def install(job: Job) -> list[str]:
    """Write the agent and load it."""
    path = path_of(job.name)
    load = ["launchctl", "bootstrap", _domain(), str(path)]
    former = write_own({path: text(job).encode("utf-8")}, _MARK)
    try:
        call(["launchctl", "bootout", f"{_domain()}/{job.name}"], check=False)
        call(load)
    except ScheduleError:
        put_back(former)
        if former[path] is not None:
            with suppress(ScheduleError):
                call(load, check=False)
        raise
    return [
        f"{path} is in force.",
        "What is missed asleep is run at waking up; what is missed switched off is not.",
    ]


def remove(job_name: str) -> list[str]:
    """Unload the agent and remove its file."""
    path = path_of(job_name)
    if path not in [ours for ours, _ in own_files(folder(), "tagger*.plist", _MARK)]:
        return []
    if shutil.which("launchctl"):
        call(["launchctl", "bootout", f"{_domain()}/{job_name}"], check=False)
    path.unlink(missing_ok=True)
    return [f"Removed: {path.name}."]


def planned(now: datetime) -> list[Planned]:
    """Our agents and when they are due."""
    return [
        Planned("launchd", path.name, _next(content, now))
        for path, content in own_files(folder(), "tagger*.plist", _MARK)
    ]


def _next(content: bytes, now: datetime) -> datetime | None:
    try:
        times: list[dict[str, Any]] = plistlib.loads(content)["StartCalendarInterval"]
        minutes = sorted(
            time["Minute"] + 60 * hour
            for time in times
            for hour in ([time["Hour"]] if "Hour" in time else range(24))
        )
        every = minutes[1] - minutes[0] if len(minutes) > 1 else 24 * 60
        return When(minutes[0], every).next_after(now)
    except (plistlib.InvalidFileException, KeyError, TypeError, IndexError, ValueError):
        return None
