"""The program with something put in its way: `python -m tests.reliability.driver ARGUMENTS…`.

What happens to a file is the first word of its name: see `BEFORE_LISTENING`, `BEFORE_WRITING` and `LATE`.
``CLOCK_OFFSET_S`` in the environment sets the clock of the parent process wrong.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import mutagen

from tests import media

Meddling = Callable[[Path], object]


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _retag(path: Path) -> None:
    file = mutagen.File(path)
    file["title"] = "By somebody else"
    file.save()


def _keeping_stat(path: Path, content: bytes) -> None:
    """Other bytes, but nothing that shows in size and time."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _other_sound(path: Path) -> None:
    other = path.with_name(".other")
    media.make(other, "flac", seconds=1.5, sr=22050, channels=1, seed=5)
    sound = other.read_bytes()
    other.unlink()
    filling = path.stat().st_size - len(sound) - 4
    streaminfo_end = 4 + 4 + 34
    padding = b"\1" + filling.to_bytes(3, "big") + bytes(filling)
    _keeping_stat(path, sound[:streaminfo_end] + padding + sound[streaminfo_end:])


def _other_title(path: Path) -> None:
    _keeping_stat(path, path.read_bytes().replace(b"A title", b"B title"))


def _replaced_by(make: Meddling) -> Meddling:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def _link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "bystander" / "file.flac")


BEFORE_LISTENING: dict[str, Meddling] = {
    "early-vanish": Path.unlink,
    "early-grow": lambda path: media.make(path, "flac", seconds=2.5, seed=77),
    "early-pipe": _replaced_by(os.mkfifo),
}
BEFORE_WRITING: dict[str, Meddling] = {
    "vanish": Path.unlink,
    "grow": _grow,
    "retag": _retag,
    "other-sound": _other_sound,
    "other-title": _other_title,
    "empty": lambda path: path.write_bytes(b""),
    "lock": lambda path: path.chmod(0o444),
    "move": lambda path: path.parent.rename(path.parent.with_name("moved")),
    "folder": _replaced_by(Path.mkdir),
    "pipe": _replaced_by(os.mkfifo),
    "link": _replaced_by(_link),
    "touch": lambda path: os.utime(path),
}
LATE: dict[str, Meddling] = {
    "late-vanish": Path.unlink,
    "late-grow": _grow,
    "late-retag": _retag,
    "late-move": lambda path: path.parent.rename(path.parent.with_name("late-moved")),
    "late-lock": lambda path: path.chmod(0o444),
    "late-link": _replaced_by(_link),
}
"""When the new copy is complete and about to replace the file."""


def _kind(path: bytes) -> str:
    return Path(os.fsdecode(path)).parent.name


def _meddle(path: bytes, what: dict[str, Meddling]) -> None:
    if meddling := what.get(_kind(path)):
        meddling(Path(os.fsdecode(path)))


def _install() -> None:
    """Put ourselves between the parts of the program."""
    from tagger import conclude, pool

    listen_all, apply_edit = pool.listen_all, conclude.apply_edit

    def listening(tasks: Iterable[Any], **how: Any) -> Iterator[Any]:
        every = list(tasks)
        for task in every:
            _meddle(task.path, BEFORE_LISTENING)
        return listen_all(every, **how)

    def writing(store: Any, run_id: int, subject: Any, *args: Any, **how: Any) -> Any:
        _meddle(subject.path, BEFORE_WRITING)

        def on_step(name: str) -> None:
            if name == "fsynced":
                _meddle(subject.path, LATE)

        return apply_edit(store, run_id, subject, *args, **how | {"on_step": on_step})

    pool.listen_all, conclude.apply_edit = listening, writing  # type: ignore[assignment]


def _set_clock(offset_s: float) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + offset_s
    time.time_ns = lambda: real_ns() + int(offset_s * 1e9)


if __name__ == "__main__":
    from tagger.__main__ import main

    if offset := os.environ.get("CLOCK_OFFSET_S"):
        _set_clock(float(offset))
    if "MEDDLE" in os.environ:
        _install()
    sys.argv[0] = "tagger"
    main()
