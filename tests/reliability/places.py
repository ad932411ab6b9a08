"""R30 to R32: names nobody expects, things that are no files, places where one may not write."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from tagger.tags import read_tags
from tests import media
from tests.conftest import Ran
from tests.reliability.figures import Measured, NotHere, figure
from tests.reliability.program import ANY, contents, mounted, strays, tagger, unprivileged

NAMES: tuple[bytes, ...] = (
    b"caf\xe9.mp3",
    b"\xff\xfe\x80.mp3",
    b"two\nlines.mp3",
    b"\r\t\x1b[31mred.mp3",
    b"-rf.mp3",
    b"--help.mp3",
    b" .mp3",
    "🎵💥.mp3".encode(),
    "e\u0301 \u00e9.mp3".encode(),
    "\u202egpj.mp3".encode(),
    b"n" * 251 + b".mp3",
    "ü".encode() * 125 + b"x.mp3",
    b"'; DROP TABLE tracks; --.mp3",
    b"[bold red]100%s {0} $HOME `id` *?.mp3",
    b'a\\b:c|d<e>"f".mp3',
    b"https:example.com.mp3",
)
"""Good names, all of them: a file system allows anything but / and NUL."""

FOLDERS: tuple[bytes, ...] = (b"\xe9\xff", b"-n", b"line\nbreak", b"album.mp3", b"f" * 255, "🎼".encode())


@figure(
    "R30",
    what="names not in UTF-8, with newlines, dashes, emoji, 255 bytes long: tagged, found again, undone",
    bar="all, all, all",
    full=10,
)
def names(folder: Path, *, size: int) -> Measured:
    """Each name `size` times over, in folders whose names are no better."""
    music = os.fsencode(folder / "music")
    paths = [os.path.join(music, FOLDERS[i % len(FOLDERS)], b"%d" % (i // len(NAMES)), NAMES[i % len(NAMES)])
             for i in range(size * len(NAMES))]  # fmt: skip
    paths += [os.path.join(music, name, b"01.mp3") for name in FOLDERS]
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    one = Path(os.fsdecode(media.make(folder / "one.mp3", "mp3", seconds=2.0))).read_bytes()
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(one)
    ran = tagger(folder, "run", *ANY, music)
    tagged = _with(ran, "tagged") & {path for path in paths if read_tags(path).genres}
    again = _with(tagger(folder, "run", *ANY, music), "unchanged")
    for command in (["status"], ["ls"], ["errors"], ["runs"], ["run", "-v", "-n", "--mode", "append", music]):
        shown = tagger(folder, *command)
        if shown.code or "\x1b" in shown.out or "\u202e" in shown.out:
            raise AssertionError(f"{command[0]} exits {shown.code} or lets a name control the terminal")
    undone = tagger(folder, "undo", "--yes", "--json")
    back = {path for path in paths if not read_tags(path).genres}
    missing = set(paths) - (tagged & again & back)
    return Measured(
        ok=not missing and ran.code == undone.code == 0 and not strays(folder / "music"),
        text=f"{len(tagged)}, {len(again)}, {len(back)} of {len(paths)}",
        n=len(paths),
        notes=tuple(repr(path) for path in missing),
    )


@figure(
    "R31",
    what="pipes, sockets, devices, links that dangle, loop or lead to /dev/zero: opened, hung; others tagged",
    bar="0, no, all",
    full=20,
)
def no_files(folder: Path, *, size: int) -> Measured:
    """Beside `size` good files, and each named on the command line by itself."""
    music = folder / "music"
    music.mkdir()
    for seed in range(size):
        media.make(music / f"good{seed}.mp3", "mp3", seconds=2.0, seed=seed)
    odd = _make_odd(music)
    with ExitStack() as stack:
        for number, path in enumerate(odd):
            if path.suffix == ".sock":
                bound = stack.enter_context(socket.socket(socket.AF_UNIX))
                os.chdir(music)  # the name of a socket is short
                bound.bind(path.name)
                os.chdir("/")
            assert os.path.lexists(path), number
        ran = tagger(folder, "run", *ANY, music, timeout_s=120)
        named = tagger(folder, "run", *ANY, *odd, timeout_s=120)
    listed = {os.path.basename(line["path"]) for line in ran.lines + named.lines}
    opened = [path.name for path in odd if path.name in listed]
    tagged = len(_with(ran, "tagged"))
    return Measured(
        ok=not opened and tagged == size and ran.code == 0 and named.code == 3,
        text=f"{len(opened)}, no, {tagged} of {size}; exits {ran.code}, {named.code}",
        n=len(odd) + size,
        notes=tuple(opened),
    )


def _make_odd(music: Path) -> list[Path]:
    os.mkfifo(music / "pipe.mp3")
    (music / "dangling.mp3").symlink_to("nothing.mp3")
    (music / "itself.mp3").symlink_to("itself.mp3")
    (music / "a.mp3").symlink_to("b.mp3")
    (music / "b.mp3").symlink_to("a.mp3")
    (music / "zero.mp3").symlink_to("/dev/zero")
    (music / "to-pipe.mp3").symlink_to("pipe.mp3")
    (music / "up").symlink_to(".")
    odd = [music / f"{name}.mp3" for name in ("pipe", "dangling", "itself", "a", "b", "zero", "to-pipe")]
    if os.geteuid() == 0:
        device = music / "null.mp3"
        os.mknod(device, 0o020666, os.makedev(1, 3))
        odd.append(device)
    return [*odd, music / "x.sock"]


@figure(
    "R32",
    what="unreadable, read-only and immutable files, such folders and mounts: right status, untouched; "
    "tagged once they are opened up",
    bar="all, all, all",
    full=5,
)
def forbidden(folder: Path, *, size: int) -> Measured:
    """`size` files in each place: a run, the same again, and one after all hindrances have gone."""
    music = folder / "music"
    music.mkdir()
    wanted: dict[bytes, str | None] = {}
    skipped: list[str] = []
    with ExitStack() as stack:
        for name, (status, forbid) in PLACES.items():
            place = music / name
            place.mkdir()
            for number in range(size):
                media.make(place / f"{number}.flac", "flac", seconds=2.0, sr=22050, channels=1, seed=number)
            wanted |= {os.fsencode(path): status for path in place.iterdir()}
            try:
                stack.enter_context(forbid(place))
            except NotHere as reason:
                skipped.append(f"{name} ({reason})")
                wanted |= {os.fsencode(path): "tagged" for path in place.iterdir()}
        before = contents(music)
        prefix = unprivileged()
        ran = tagger(folder, "run", *ANY, music, prefix=prefix)
        again = tagger(folder, "run", *ANY, music, prefix=prefix)
        after = contents(music)
        left = strays(music)
    last = tagger(folder, "run", *ANY, music, prefix=prefix)

    outcomes = {os.fsencode(line["path"]): line["status"] for line in ran.lines if line["reason"]}
    right = {path for path, status in wanted.items() if outcomes.get(path) == status}
    untouched = {path for path in wanted if (after[path] == before[path]) == (wanted[path] != "tagged")}
    tagged = {path for path in wanted if read_tags(path).genres}
    notes = [f"{path!r}: {outcomes.get(path)}, not {wanted[path]}" for path in wanted.keys() - right]
    notes += [f"{path!r}: changed, or not" for path in wanted.keys() - untouched]
    notes += [f"{path!r}: not tagged in the end" for path in wanted.keys() - tagged]
    notes += [f"left behind: {path!r}" for path in left + strays(music)]
    if "closed: the folder cannot be read: permission denied" not in ran.err:
        notes.append(f"nothing is said about the closed folder: {ran.err!r}")
    # What is known to fail is no news the second time; a folder that cannot be read may hide anything.
    if (ran.code, again.code, last.code) != (1, 1, 0):
        notes.append(f"exits {ran.code}, {again.code}, {last.code}, not 1, 1, 0")
    text = f"{len(right)}, {len(untouched)}, {len(tagged)} of {len(wanted)}"
    text += f"; not here: {', '.join(skipped)}" if skipped else ""
    return Measured(not notes, text, len(wanted), tuple(notes))


@contextmanager
def _mode(place: Path, *, of_files: int | None = None, of_folder: int | None = None) -> Iterator[None]:
    paths = sorted(place.iterdir()) if of_files is not None else []
    for path in paths:
        path.chmod(of_files or 0)
    if of_folder is not None:
        place.chmod(of_folder)
    try:
        yield
    finally:
        place.chmod(0o755)
        for path in paths:
            path.chmod(0o644)


@contextmanager
def _immutable(place: Path) -> Iterator[None]:
    paths = sorted(place.iterdir())
    done = subprocess.run(["chattr", "+i", *paths], capture_output=True, check=False)
    if done.returncode:
        raise NotHere(done.stderr.decode().strip().splitlines()[0])
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *paths], check=True)


@contextmanager
def _read_only_mount(place: Path) -> Iterator[None]:
    with mounted(place, "--bind", str(place)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield


PLACES: dict[str, tuple[str | None, Callable[[Path], AbstractContextManager[None]]]] = {
    "open": ("tagged", lambda place: nullcontext()),
    "unreadable": ("unreadable", lambda place: _mode(place, of_files=0)),
    "read-only": ("refused", lambda place: _mode(place, of_files=0o444)),
    "read-only-folder": ("refused", lambda place: _mode(place, of_folder=0o555)),
    "closed": (None, lambda place: _mode(place, of_folder=0)),
    "mount": ("refused", _read_only_mount),
    "immutable": ("refused", _immutable),
}
"""Folder to the status of the files in it (None where nobody can know that there are any) and its maker."""


def _with(ran: Ran, status: str) -> set[bytes]:
    return {os.fsencode(line["path"]) for line in ran.lines if line["status"] == status}
