"""A service and a timer of the user's own systemd."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tagger.errors import ScheduleError
from tagger.schedule.job import QUIET_CODES, Job, Planned, When, call, own_files, put_back, write_own
from tagger.schedule.quoting import systemd_command

_MARK = b"# Made by `tagger schedule`."

_SERVICE = """\
{mark}
[Unit]
Description=Fill in missing genres ({name})

[Service]
Type=oneshot
ExecStart={command}
# Exit codes: 75, another run is at work; 130, it was ended from outside. All others but 0 are failures.
SuccessExitStatus={quiet}
Nice=19
CPUSchedulingPolicy=batch
IOSchedulingClass=idle
# Only the parent is told to stop: it ends its workers, and remembers what is done.
KillMode=mixed
TimeoutStopSec=30
"""

_TIMER = """\
{mark}
[Unit]
Description=Fill in missing genres, {when} ({name})

[Timer]
OnCalendar={calendar}
# What was missed while the computer was off or asleep is made up for.
Persistent=true

[Install]
WantedBy=timers.target
"""


def units(job: Job) -> dict[str, str]:
    """Name to text of the service and the timer."""
    mark = _MARK.decode()
    quiet = " ".join(map(str, QUIET_CODES))
    service = _SERVICE.format(mark=mark, name=job.name, command=systemd_command(job.argv), quiet=quiet)
    timer = _TIMER.format(mark=mark, name=job.name, when=job.when, calendar=_calendar(job.when))
    return {f"{job.name}.service": service, f"{job.name}.timer": timer}


def text(job: Job) -> str:
    """Both, with the names of the files."""
    return "\n".join(f"# {folder() / name}\n{content}" for name, content in units(job).items())


def _calendar(when: When) -> str:
    hours = ",".join(f"{hour:02}" for hour in when.hours) or "*"
    minutes = ",".join(f"{minute:02}" for minute in when.past_hour)
    return f"*-*-* {hours}:{minutes}:00"


def folder() -> Path:
    """Where the units of this user lie."""
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def available() -> bool:
    """Whether the user's own systemd answers."""
    if shutil.which("systemctl") is None:
        return False
    try:
        return call(["systemctl", "--user", "show", "--property=Version"], check=False).returncode == 0
    except ScheduleError:
        return False


def install(job: Job) -> list[str]:
    """Write the units and start the timer."""
    timer = f"{job.name}.timer"
    files = {folder() / name: content.encode() for name, content in units(job).items()}
    former = write_own(files, _MARK)
    try:
        call(["systemctl", "--user", "daemon-reload"])
        call(["systemctl", "--user", "enable", timer])
        call(["systemctl", "--user", "restart", timer])
    except ScheduleError:
        _take_back(timer, former)
        raise
    notes = [f"{folder() / timer} is in force{', as it was' if former == files else ''}."]
    if not _lingers():
        notes.append("It runs only while you are logged in; `loginctl enable-linger` lets it run always.")
    return [*notes, f"What a run says: journalctl --user -u {job.name}"]


def _take_back(timer: str, former: Mapping[Path, bytes | None]) -> None:
    """Have the units as they were, and what runs by them, as far as systemd still answers."""
    is_new = former[folder() / timer] is None
    with suppress(ScheduleError):
        if is_new:  # while the unit is there, or its link would stay
            call(["systemctl", "--user", "disable", "--now", timer], check=False)
    put_back(former)
    with suppress(ScheduleError):
        call(["systemctl", "--user", "daemon-reload"], check=False)
        if not is_new:
            call(["systemctl", "--user", "restart", timer], check=False)


def remove(job_name: str) -> list[str]:
    """Stop the timer and remove the units."""
    names = (f"{job_name}.timer", f"{job_name}.service")
    ours = [path for path, _ in own_files(folder(), "tagger*", _MARK) if path.name in names]
    if not ours:
        return []
    call(["systemctl", "--user", "disable", "--now", names[0]], check=False)
    for path in ours:
        path.unlink(missing_ok=True)
    call(["systemctl", "--user", "daemon-reload"], check=False)
    return [f"Removed: {', '.join(path.name for path in ours)}."]


def planned(_now: datetime) -> list[Planned]:
    """Our timers, and when systemd means to run them."""
    return [
        Planned("systemd", path.name, _next(path.name))
        for path, _ in own_files(folder(), "tagger*.timer", _MARK)
    ]


def _next(timer: str) -> datetime | None:
    try:
        done = call(["systemctl", "--user", "show", timer, "--property=NextElapseUSecRealtime"], check=False)
    except ScheduleError:
        return None
    value = done.stdout.decode("utf-8", "replace").partition("=")[2].split()
    try:  # Mon 2026-11-23 03:00:00 UTC
        return datetime.strptime(" ".join(value[1:3]), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def _lingers() -> bool:
    try:
        return (Path("/var/lib/systemd/linger") / getpass.getuser()).exists()
    except (OSError, KeyError):
        return True  # not to be known here: no advice is better than a wrong one
