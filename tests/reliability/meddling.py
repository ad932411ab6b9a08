"""R33: files that vanish or change between being found, heard and written; and the clock, and the disk."""

from __future__ import annotations

import os
from pathlib import Path

from tagger.tags import read_tags
from tests import media
from tests.reliability import driver
from tests.reliability.figures import Measured, figure
from tests.reliability.program import ANY, contents, strays, tagger

MEDDLED = (*driver.BEFORE_LISTENING, *driver.BEFORE_WRITING, *driver.LATE)

WANTED = {"early-grow": "tagged", "early-pipe": "unreadable", "other-title": "tagged", "lock": "refused"}
"""Where it is not `changed_meanwhile`: a file that was found otherwise is heard as it is now."""


@figure(
    "R33",
    what="files vanished, changed, moved, locked, replaced mid-run: right status, what somebody else did is "
    "kept, tagged by the next run",
    bar="all, all, all",
    full=5,
)
def meddling(folder: Path, *, size: int) -> Measured:
    """`size` files for each way of meddling, one folder each."""
    music = folder / "music"
    for name in (*MEDDLED, "bystander"):
        for number in range(size):
            place = music / (name if not number else f"{number}") / (name if number else "")
            place.mkdir(parents=True)
            path = place / "file.flac"
            media.make(path, "flac", seconds=2.0, sr=22050, channels=1, tags={"title": "A title"})
    before = contents(music)
    ran = tagger(
        folder, "run", *ANY, "--jobs", 2, music, module="tests.reliability.driver", env={"MEDDLE": "1"}
    )
    outcomes = {os.fsencode(line["path"]): line for line in ran.lines}
    meddled = contents(music)
    as_left = {path: _is_kept(path, _kind(path), before[path], meddled.get(path)) for path in before}
    again = tagger(folder, "run", *ANY, music)
    notes = []
    right = kept = 0
    for path in before:
        kind = _kind(path)
        wanted = WANTED.get(kind, "tagged" if kind == "bystander" else "changed_meanwhile")
        line = outcomes.get(path, {"status": "no outcome", "reason": ""})
        is_right = line["status"] == wanted and bool(line["reason"])
        is_kept = as_left[path]
        right, kept = right + is_right, kept + is_kept
        if not (is_right and is_kept):
            notes.append(f"{kind}: {line['status']}, not {wanted}: {line['reason']}; kept: {is_kept}")
    left = [path for path in contents(music) if not path.endswith(b"bystander.flac")]
    locked = {os.fsencode(path) for path in music.rglob("*lock/*")}
    untagged = [path for path in set(left) - locked if os.path.getsize(path) and not read_tags(path).genres]
    notes += [f"not tagged in the end: {path!r}" for path in untagged]
    notes += [f"left behind: {path!r}" for path in strays(music)]
    if len(outcomes) != len(before) or ran.code != 1 or again.code not in (0, 1):
        notes.append(f"{len(outcomes)} outcomes, exits {ran.code}, {again.code}")
    n = len(before)
    return Measured(
        ok=not notes, text=f"{right}, {kept} of {n}, {len(left) - len(untagged)} of {len(left)}", n=n,
        notes=tuple(notes),
    )  # fmt: skip


def _kind(path: bytes) -> str:
    return os.path.basename(os.path.dirname(os.fsdecode(path)))


def _is_kept(path: bytes, kind: str, before: str, now: str | None) -> bool:
    """Whether the file is as the one who meddled left it."""
    match kind.removeprefix("late-"):
        case "vanish" | "early-vanish" | "folder" | "pipe" | "early-pipe" | "link" | "move":
            return now is None
        case "bystander":
            return now != before
        case "lock" | "touch":
            return now == before
        case "retag":
            tags = read_tags(path)
            return tags.title == "By somebody else" and not tags.genres
        case "other-title":
            tags = read_tags(path)
            return tags.title == "B title" and bool(tags.genres)
        case _:
            return now is not None and now != before
