"""When the next run is due, as far as systemd, cron, launchd and the Task Scheduler know."""

from __future__ import annotations

from tagger.schedule import planned

NOTHING = "No next run is planned; tagger schedule plans one."


def next_run() -> str:
    """A sentence on the next run, in plain text."""
    found = next(iter(planned()), None)
    if found is None:
        return NOTHING
    if found.next is None:
        return f"Runs are planned with {found.kind}: {found.what}"
    return f"The next run is due on {found.next:%A, %d %B %Y at %H:%M}."
