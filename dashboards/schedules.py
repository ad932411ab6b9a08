"""When the next run is due, as far as systemd and cron know."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime

UNIT = "tagger.timer"
_WAIT_S = 3.0
NOTHING = "No next run is planned, as far as systemd and cron know."


def next_run() -> str:
    """A sentence on the next run."""
    when = _systemd(_said(["systemctl", "--user", "show", UNIT, "--property=NextElapseUSecRealtime"]))
    if when:
        return f"The next run is due {when}."
    line = _cron(_said(["crontab", "-l"]))
    return f"Runs are planned in the crontab: {line}" if line else NOTHING


def _said(command: list[str]) -> str:
    """What a program prints; nothing where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _systemd(text: str) -> str:
    value = text.partition("=")[2].strip()
    try:  # "Mon 2026-11-23 03:00:00 UTC"
        when = datetime.strptime(" ".join(value.split()[1:3]), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return ""
    return f"on {when:%A, %d %B %Y at %H:%M}"


def _cron(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if "tagger" in line and not line.startswith("#")), "")
