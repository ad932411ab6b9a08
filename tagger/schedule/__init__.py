"""Runs that happen by themselves: planning them with cron, systemd, launchd or Windows' Task Scheduler.

Each kind is a module with the same functions: ``available``, ``text`` (what is printed), ``install``,
``remove`` and ``planned``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType, ModuleType

from tagger.errors import ScheduleError
from tagger.schedule import cron, launchd, systemd, windows
from tagger.schedule.job import Job, Planned, When

__all__ = ["KINDS", "Job", "Planned", "When", "find_kind", "next_run", "planned"]

KINDS: Mapping[str, ModuleType] = MappingProxyType(
    {"systemd": systemd, "cron": cron, "launchd": launchd, "windows": windows}
)
"""The best first: systemd makes up for what was missed, and keeps what was said."""


def find_kind() -> str:
    """The kind to use here.

    Raises
    ------
    ScheduleError
        There is none.
    """
    for name, kind in KINDS.items():
        if kind.available():
            return name
    raise ScheduleError(
        "Neither systemd (of this user) nor cron, launchd or the Task Scheduler is here; see --kind."
    )


def usual_kind() -> str:
    """The kind to print for where none is to be found."""
    return {"darwin": "launchd", "win32": "windows"}.get(sys.platform, "cron")


def planned(now: datetime | None = None) -> list[Planned]:
    """Everything planned on this machine for this user, what comes first first; local time.

    Never raises: a program that is not there, or does not answer, plans nothing.
    """
    now = now or datetime.now()
    found = []
    for kind in KINDS.values():
        try:
            found += kind.planned(now)
        except (ScheduleError, OSError):
            continue
    return sorted(found, key=lambda item: (item.next is None, item.next or now))


def next_run(now: datetime | None = None) -> Planned | None:
    """What runs next; None where nothing is planned."""
    return next(iter(planned(now)), None)
