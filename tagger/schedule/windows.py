"""A task of Windows' Task Scheduler, as the XML that ``schtasks /Create /XML`` takes."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from datetime import datetime
from pathlib import Path

from tagger.errors import ScheduleError
from tagger.schedule.job import DAY_MIN, Job, Planned, When, call

_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BACKGROUND = "9"
"""Of 0 to 10: idle class; input and output of the least priority too."""


def text(job: Job) -> str:
    """The definition of the task.

    Raises
    ------
    ScheduleError
        A path holds what XML cannot.
    """
    argv = [os.fsdecode(part) for part in job.argv_logged]
    if any(_NOT_XML.search(part) for part in argv):
        raise ScheduleError(
            "A task holds no such file name; set paths in the configuration (tagger config init)."
        )
    task = ET.Element("Task", {"version": "1.2", "xmlns": _SPACE})
    _put(
        task, "RegistrationInfo", {"Author": "tagger", "Description": f"Fills in missing genres, {job.when}"}
    )
    trigger = ET.SubElement(ET.SubElement(task, "Triggers"), "CalendarTrigger")
    first = job.when.minutes[0]
    ET.SubElement(trigger, "StartBoundary").text = f"2024-01-01T{first // 60:02}:{first % 60:02}:00"
    if job.when.every_min < DAY_MIN:
        _put(trigger, "Repetition", {"Interval": f"PT{job.when.every_min}M", "Duration": "P1D"})
    _put(trigger, "ScheduleByDay", {"DaysInterval": "1"})
    _put(
        task,
        "Settings",
        {
            "MultipleInstancesPolicy": "IgnoreNew",
            "DisallowStartIfOnBatteries": "true",
            "StopIfGoingOnBatteries": "true",
            "StartWhenAvailable": "true",  # what was missed is made up for
            "ExecutionTimeLimit": "PT0S",
            "Priority": _BACKGROUND,
        },
    )
    action = {"Command": argv[0], "Arguments": subprocess.list2cmdline(argv[1:])}
    _put(ET.SubElement(task, "Actions"), "Exec", action)
    ET.indent(task)
    return '<?xml version="1.0" encoding="UTF-16"?>\n' + ET.tostring(task, encoding="unicode") + "\n"


def _put(parent: ET.Element, tag: str, children: dict[str, str]) -> None:
    element = ET.SubElement(parent, tag)
    for name, value in children.items():
        ET.SubElement(element, name).text = value


def available() -> bool:
    """Whether this is Windows."""
    return os.name == "nt" and shutil.which("schtasks") is not None


def install(job: Job) -> list[str]:
    """Hand the task to the Task Scheduler, in the place of the former one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.xml"
        path.write_text(text(job), encoding="utf-16")
        call(["schtasks", "/Create", "/TN", job.name, "/XML", str(path), "/F"])
    return [f"The task {job.name} is in force; it runs while you are logged in, and not on batteries."]


def remove(job_name: str) -> list[str]:
    """Take the task away."""
    if not available() or call(["schtasks", "/Query", "/TN", job_name], check=False).returncode:
        return []
    call(["schtasks", "/Delete", "/TN", job_name, "/F"])
    return [f"Removed: the task {job_name}."]


def planned(now: datetime) -> list[Planned]:
    """Our tasks and when they are due."""
    if not available():
        return []
    listed = call(["schtasks", "/Query", "/FO", "CSV", "/NH"]).stdout.decode("utf-8", "replace")
    found = []
    for name in sorted({row[0].lstrip("\\") for row in csv.reader(listed.splitlines()) if row}):
        if re.fullmatch(r"tagger(-[\w-]+)?", name):
            done = call(["schtasks", "/Query", "/TN", name, "/XML"], check=False)
            found.append(Planned("windows", name, next_of(done.stdout.decode("utf-8", "replace"), now)))
    return found


def next_of(definition: str, now: datetime) -> datetime | None:
    """When a task such as `text` writes is due."""
    start = re.search(r"<StartBoundary>\d+-\d+-\d+T(\d\d):(\d\d)", definition)
    every = re.search(r"<Interval>PT(\d+)(M|H)", definition)
    if start is None:
        return None
    apart = int(every[1]) * (60 if every[2] == "H" else 1) if every else DAY_MIN
    return When(int(start[1]) * 60 + int(start[2]), max(apart, 1)).next_after(now)
