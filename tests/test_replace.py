"""Replacing a file: whole and old, or whole and new, at every moment (R01, R03, R05, R13, R15, R30-33)."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tagger import replace
from tagger.copies import is_copy_name
from tagger.errors import ChangedMeanwhileError, RefusedError, TagError, TaggerError
from tagger.formats.digest import audio_digest
from tagger.replace import FileStat, Written, sweep, write_genre
from tagger.tags import edit_genre, genre_state, read_tags
from tagger.tracks import GenreState, TagEdit
from tests import media

STEPS = ["copied", "edited", "verified", "fsynced", "replaced"]
NOBODY = 0xFFFFFFFF  # in an access control list: an entry for no user in particular
KINDS = ["mp3", "flac", "ogg-opus", "m4a-aac-faststart", "wav", "wma", "wv"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    tags = {"title": "Title", "genre": "Old"}
    return {
        name: Path(os.fsdecode(media.make(folder / f"x.{name}", name, seconds=0.6, tags=tags)))
        for name in KINDS
    }


@pytest.fixture
def track(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(made["mp3"], tmp_path / "track.mp3"))


def edit_of(path: Path, *names: str) -> TagEdit:
    before = read_tags(os.fsencode(path)).state
    return TagEdit(before, genre_state(names or ("New",), like=before))


def write(path: Path, *names: str, edit: TagEdit | None = None, **options: Any) -> Written:
    edit = edit or edit_of(path, *names)
    options = {
        "expected": FileStat.of(os.fsencode(path)),
        "digest": audio_digest(os.fsencode(path)),
        **options,
    }
    return write_genre(os.fsencode(path), edit, **options)


def genres(path: Path) -> tuple[str, ...]:
    return read_tags(os.fsencode(path)).genres


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; what it raises ends it with 1. A process that died tells by its status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ---- what it does --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_R13_writes_and_undo_brings_back_the_very_bytes(
    name: str, made: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(made[name], tmp_path))
    before, digest = path.read_bytes(), audio_digest(os.fsencode(path))
    edit = edit_of(path, "Jazz")
    steps: list[str] = []
    written = write(path, edit=edit, on_step=steps.append)
    assert steps == STEPS
    assert genres(path) == ("Jazz",)
    assert written == Written(path.stat().st_size, path.stat().st_mtime_ns, digest)
    assert audio_digest(os.fsencode(path)) == digest
    assert listing(tmp_path) == [path.name]
    write(path, edit=TagEdit(edit.after, edit.before))
    assert path.read_bytes() == before


def test_what_is_there_already_is_not_written(track: Path) -> None:
    before = track.stat()
    steps: list[str] = []
    written = write(track, "Old", on_step=steps.append)
    assert written.no_change
    assert (written.size_bytes, written.mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not steps
    assert track.stat() == before


def test_the_time_of_modification_moves_unless_it_is_to_be_kept(track: Path) -> None:
    os.utime(track, ns=(1_111_111_111_222_333_444, 1_234_567_890_123_456_789))
    assert write(track, "One", preserve_mtime=True).mtime_ns == 1_234_567_890_123_456_789
    assert track.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert write(track, "Two").mtime_ns == track.stat().st_mtime_ns > 1_600_000_000_000_000_000


def test_R15_mode_owner_and_extended_attributes_are_kept(track: Path) -> None:
    track.chmod(0o2640)
    if os.geteuid() == 0:
        os.chown(track, 12345, 54321)
    track.chmod(0o2640)
    before = track.stat()
    try:
        os.setxattr(track, "user.rating", b"\0five")
        acl = b"\2\0\0\0" + b"".join(
            tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
            for tag, perm, who in [
                (1, 6, NOBODY),
                (2, 4, 777),
                (4, 4, NOBODY),
                (16, 4, NOBODY),
                (32, 0, NOBODY),
            ]
        )
        os.setxattr(track, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("this file system has no extended attributes")
    names = os.listxattr(track)
    write(track, "New")
    after = track.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.listxattr(track) == names
    assert os.getxattr(track, "user.rating") == b"\0five"
    assert os.getxattr(track, "system.posix_acl_access") == acl
    assert after.st_ino != before.st_ino


def test_R15_a_folders_default_rights_do_not_come_to_the_file(track: Path) -> None:
    track.chmod(0o640)
    entries = [(1, 7, NOBODY), (2, 7, 777), (4, 5, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY)]
    acl = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, perm, who in entries
    )
    try:
        os.setxattr(track.parent, "system.posix_acl_default", acl)
        (track.parent / "new").touch()
        if "system.posix_acl_access" not in os.listxattr(track.parent / "new"):
            pytest.skip("this file system passes no rights on")
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert "system.posix_acl_access" not in os.listxattr(track)
    write(track, "New")
    assert "system.posix_acl_access" not in os.listxattr(track)
    assert track.stat().st_mode & 0o777 == 0o640


def test_R15_a_symbolic_link_stays_one(track: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link, second = tmp_path / "links" / "a.mp3", tmp_path / "links" / "b.mp3"
    link.symlink_to("../track.mp3")
    second.symlink_to("a.mp3")
    write(second, "New")
    assert link.is_symlink() and second.is_symlink() and os.readlink(link) == "../track.mp3"
    assert genres(track) == ("New",)
    assert listing(tmp_path / "links") == ["a.mp3", "b.mp3"]


@pytest.mark.parametrize(
    "name", [b"x" * 251 + b".mp3", b"caf\xe9\xff.mp3", b"new\nline.mp3", b"-rf.mp3", "🎺.mp3".encode()]
)
def test_R30_any_name_there_can_be(name: bytes, track: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    os.rename(track, path)
    state = read_tags(path).state
    write_genre(path, TagEdit(state, GenreState(("New",))), expected=FileStat.of(path), digest=None)
    assert read_tags(path).genres == ("New",)
    assert os.listdir(os.fsencode(tmp_path)) == [name]


# ---- what it refuses -----------------------------------------------------------------------------------


def check_untouched(error: type[TaggerError], match: str, path: Path, **options: Any) -> None:
    before, data, names = path.stat(), path.read_bytes(), listing(path.parent)
    with pytest.raises(error, match=match) as caught:
        write(path, **options)
    assert type(caught.value) is error
    assert str(path.name) in str(caught.value)
    assert "\n" not in str(caught.value) and ".tagger-" not in str(caught.value)
    assert (path.read_bytes(), listing(path.parent)) == (data, names)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_hard_links_are_refused_unless_asked_for(track: Path, tmp_path: Path) -> None:
    other = tmp_path / "seeding.mp3"
    os.link(track, other)
    data = other.read_bytes()
    check_untouched(RefusedError, "2 names", track)
    write(track, "New", hardlinks=True)
    assert genres(track) == ("New",)
    assert other.read_bytes() == data


def test_files_marked_read_only_are_refused(track: Path) -> None:
    track.chmod(0o444)
    check_untouched(RefusedError, "marked read-only", track)


def test_a_file_that_changed_since_is_left_alone(track: Path) -> None:
    stat = FileStat.of(os.fsencode(track))
    for expected in (
        FileStat(stat.size_bytes + 1, stat.mtime_ns),
        FileStat(stat.size_bytes, stat.mtime_ns - 1),
    ):
        check_untouched(ChangedMeanwhileError, "changed since", track, expected=expected)
    check_untouched(ChangedMeanwhileError, "audio", track, digest=bytes(16))
    edit = TagEdit(GenreState(("Another",)), GenreState(("New",)))
    check_untouched(ChangedMeanwhileError, "genre was changed", track, edit=edit)


@pytest.mark.parametrize("step", STEPS[:-1])
@pytest.mark.parametrize("how", ["append", "touch", "replace", "remove", "link", "retarget"])
def test_R33_a_file_that_changes_during_the_write_is_left_alone(how: str, step: str, track: Path) -> None:
    data = track.read_bytes()
    link = track.with_name("link.mp3")
    link.symlink_to(track.name)
    other = track.with_name("other.mp3")

    def meddle(name: str) -> None:
        if name == step:
            match how:
                case "append":
                    with track.open("ab") as file:
                        file.write(b"more")
                case "touch":
                    os.utime(track)
                case "replace":
                    other.write_bytes(data)
                    other.replace(track)
                case "remove":
                    track.unlink()
                case "link":
                    os.link(track, other)
                case "retarget":
                    shutil.copy(track, other)
                    link.unlink()
                    link.symlink_to(other.name)

    with pytest.raises(ChangedMeanwhileError):
        write(link, "New", on_step=meddle)
    assert not [name for name in listing(track.parent) if is_copy_name(os.fsencode(name))]
    if how == "remove":
        assert not track.exists()
    else:
        assert track.read_bytes() == data + (b"more" if how == "append" else b"")


def test_R31_what_is_no_file_or_gone_is_refused(tmp_path: Path, track: Path) -> None:
    edit, stat = edit_of(track), FileStat.of(os.fsencode(track))
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "dangling.mp3").symlink_to("nowhere")
    (tmp_path / "loop.mp3").symlink_to("loop.mp3")
    (tmp_path / "folder.mp3").mkdir()
    for name, error in [
        ("pipe.mp3", TagError),
        ("dangling.mp3", ChangedMeanwhileError),
        ("loop.mp3", TagError),
        ("folder.mp3", TagError),
        ("gone.mp3", ChangedMeanwhileError),
        ("track.mp3/x.mp3", TagError),
    ]:
        with pytest.raises(error):
            write_genre(os.fsencode(tmp_path / name), edit, expected=stat, digest=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "match"),
    [
        (0o666, 0o777, "belongs to another user"),
        (0o644, 0o777, "may not write to it"),
        (0o666, 0o755, "its folder"),
    ],
)
def test_R32_without_permission_it_is_refused(
    file_mode: int, folder_mode: int, match: str, track: Path
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        path = Path(shutil.copy(track, folder))
        path.chmod(file_mode)
        folder.chmod(folder_mode)

        def as_nobody() -> None:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            check_untouched(RefusedError, match, path)

        assert in_child(as_nobody) == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mark a file immutable")
def test_R32_an_immutable_file_is_refused(track: Path) -> None:
    if subprocess.run(["chattr", "+i", str(track)], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        check_untouched(RefusedError, "write to it|immutable", track)
    finally:
        subprocess.run(["chattr", "-i", str(track)], check=True)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ("audio", "its audio would have changed"),
        ("tags", "tags other than the genre"),
        ("genre", "the genre would not"),
    ],
)
@pytest.mark.parametrize("name", KINDS)
def test_an_edit_that_does_more_than_it_should_is_caught(
    name: str, damage: str, match: str, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(made[name], tmp_path))

    def edit_badly(file: Any, after: GenreState, named: bytes, extras: object) -> None:
        wanted = GenreState(("Other",)) if damage == "genre" else after
        edit_genre(file, genre_state(["Other"], like=after) if damage == "genre" else wanted, named)
        data = file.seek(0) or file.read()
        at, new = len(data) // 2, bytes([data[len(data) // 2] ^ 1])
        if damage == "tags":
            title = "Title".encode("utf-16-le") if name == "wma" else b"Title"
            at, new = data.index(title), b"t"
        if damage != "genre":
            file.seek(at)
            file.write(new)
            file.flush()

    monkeypatch.setattr(replace, "edit_genre", edit_badly)
    if name == "ogg-opus" and damage == "tags":
        match = "damaged|tags other than the genre"  # the checksum of the page is wrong too
    check_untouched(RefusedError, match, path)


# ---- stopping in the middle ----------------------------------------------------------------------------


class Pulled(BaseException):
    """Stands for whatever stops a program."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "stop", [Pulled, KeyboardInterrupt, OSError(errno.ENOSPC, "x"), OSError(errno.EIO, "x")]
)
def test_R03_R05_stopping_after_a_step_leaves_old_or_new_and_no_copy(
    step: str, stop: type[BaseException] | OSError, track: Path
) -> None:
    before = track.read_bytes()

    def at_step(name: str) -> None:
        if name == step:
            raise stop

    with pytest.raises(TagError if isinstance(stop, OSError) else stop) as caught:
        write(track, "New", on_step=at_step)
    if isinstance(stop, OSError):
        assert str(caught.value).startswith(f"{track}: cannot write it: the disk ")
    assert listing(track.parent) == ["track.mp3"]
    assert genres(track) == (("New",) if step == "replaced" else ("Old",))
    assert step == "replaced" or track.read_bytes() == before
    write(track, "New")
    assert genres(track) == ("New",)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", KINDS)
def test_R03_killed_after_a_step_the_next_run_converges(
    name: str, step: str, made: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(made[name], tmp_path))
    before, edit = path.read_bytes(), edit_of(path, "New")

    def die(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: write(path, edit=edit, on_step=die) and None) == -signal.SIGKILL
    if step == "replaced":
        assert genres(path) == ("New",)
    else:
        assert path.read_bytes() == before
        assert len(listing(tmp_path)) == 2
    assert len(sweep(os.fsencode(tmp_path))) == (step != "replaced")
    assert listing(tmp_path) == [path.name]
    write(path, edit=TagEdit(read_tags(os.fsencode(path)).state, edit.after))
    assert genres(path) == ("New",)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_R01_killed_at_any_line_the_file_is_old_or_new(
    name: str, made: dict[str, Path], tmp_path: Path
) -> None:
    """The process ends without any cleaning up at every third line that it executes."""
    path = Path(shutil.copy(made[name], tmp_path))
    old = path.read_bytes()
    edit = edit_of(path, "New")
    write(path, edit=edit)
    new = path.read_bytes()
    seen = set()
    for n in range(0, 100_000, 3):
        shutil.copy(made[name], path)
        left = n

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(
                ("tagger/replace.py", "tagger/copies.py", "tagger/formats/splice.py")
            ):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os._exit(99)
            return trace

        def work() -> None:
            stat = FileStat.of(os.fsencode(path))
            sys.settrace(trace)
            write_genre(os.fsencode(path), edit, expected=stat, digest=None)

        code = in_child(work)
        data = path.read_bytes()
        assert data in (old, new), f"line {n}"
        seen.add(data)
        sweep(os.fsencode(tmp_path))
        assert listing(tmp_path) == [path.name]
        if code == 0:
            break
        assert code == 99
    assert n > 100 and seen == {old, new}


def test_R01_the_file_itself_is_never_opened_for_writing(
    track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power failure depends on: content to the disk, then the name, then the folder."""
    reader, writer = os.pipe()

    def work() -> None:
        events: list[str] = []
        target = os.fsencode(track)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event == "open" and not isinstance(args[0], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
                events.append(f"write {os.path.basename(os.fsencode(args[0]))!r}")
            if event in ("os.rename", "os.truncate", "os.chmod", "os.chown", "os.remove", "os.utime"):
                events.append(event + (" target" if target in args else ""))

        edit, stat = edit_of(track), FileStat.of(target)
        fsync = os.fsync

        def noted(fd: int) -> None:
            events.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "fsync file")
            fsync(fd)

        monkeypatch.setattr(os, "fsync", noted)
        sys.addaudithook(hook)
        write_genre(target, edit, expected=stat, digest=None)
        os.write(writer, "\n".join(events).encode())

    assert in_child(work) == 0
    os.close(writer)
    with os.fdopen(reader) as pipe:
        events = pipe.read().split("\n")
    assert events[0].startswith("write b'.tagger-") and events[0].endswith(".tmp'")
    wanted = ["fsync file", "os.rename target", "fsync folder"]
    assert [event for event in events[1:] if event not in ("os.chmod", "os.chown", "os.utime")] == wanted


# ---- a disk that is full -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pages_short", [0, 1, 3, 1000])
def test_R05_a_full_disk_costs_nothing(
    name: str, pages_short: int, made: dict[str, Path], small_disk: Path
) -> None:
    """From no room at all for a copy to room for the copy but not for the larger tag."""
    path = Path(shutil.copy(made[name], small_disk / f"{name}.x"))
    try:
        space = os.statvfs(small_disk)
        pages = -(-path.stat().st_size // space.f_frsize)
        filler = small_disk / "filler"
        filler.write_bytes(bytes(max(0, space.f_bfree - max(0, pages - pages_short)) * space.f_frsize))
        check_untouched(TagError, "the disk is full", path, edit=edit_of(path, "N" * 9000))
        assert listing(small_disk) == sorted(["filler", path.name])
        filler.unlink()
        write(path, "N" * 9000)
    finally:
        for file in small_disk.iterdir():
            file.unlink()


@pytest.mark.parametrize("call", ["copy_file_range", "fsync", "replace", "fchown", "fchmod", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_R05_any_system_call_may_fail(
    call: str, number: int, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, call)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if call == "open" and not (args[1] & os.O_CREAT):
            return real(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    if call == "fchown":  # called only where there is something to change
        if os.geteuid():
            pytest.skip("only root can give files away")
        os.chown(track, 12345, 54321)
    edit, stat = edit_of(track), FileStat.of(os.fsencode(track))
    before = track.read_bytes()
    monkeypatch.setattr(os, call, fail)
    if call == "copy_file_range":  # there is a plain way to copy too
        write_genre(os.fsencode(track), edit, expected=stat, digest=None)
        assert genres(track) == ("New",)
    else:
        refused = number in (errno.EROFS, errno.EACCES)
        with pytest.raises(TagError, match=r"track\.mp3: ") as caught:
            write_genre(os.fsencode(track), edit, expected=stat, digest=None)
        assert isinstance(caught.value, RefusedError) == refused
        assert track.read_bytes() == before
    assert listing(track.parent) == ["track.mp3"]


def test_a_folder_that_cannot_be_synced_is_no_failure(track: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EINVAL, "not on this share")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    write(track, "New")
    assert genres(track) == ("New",)


# ---- sweeping ------------------------------------------------------------------------------------------


def test_sweep_removes_strays_and_nothing_else(track: Path, tmp_path: Path) -> None:
    stray = tmp_path / ".tagger-0123456789abcdef.tmp"
    kept = [".tagger-0123456789abcde.tmp", ".tagger-0123456789abcdef.tmp.mp3", ".taggerignore", "track.mp3"]
    for name in kept[:3]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".tagger-1111111111111111.tmp").symlink_to("track.mp3")
    (tmp_path / ".tagger-2222222222222222.tmp").mkdir()
    stray.write_bytes(b"half a copy")
    assert sweep(os.fsencode(tmp_path)) == [os.fsencode(stray)]
    assert listing(tmp_path) == sorted(
        [*kept, ".tagger-1111111111111111.tmp", ".tagger-2222222222222222.tmp"]
    )
    assert sweep(os.fsencode(tmp_path / "no such folder")) == []


def test_sweep_leaves_a_copy_that_another_run_is_working_on(track: Path, tmp_path: Path) -> None:
    found: list[bytes] = []
    write(track, "New", on_step=lambda name: found.extend(sweep(os.fsencode(tmp_path))))
    assert found == []
    assert genres(track) == ("New",)


def test_copies_are_hidden_and_no_longer_than_any_name_may_be(track: Path) -> None:
    seen = set()
    write(track, "New", on_step=lambda step: seen.update(listing(track.parent)))
    (copy,) = seen - {"track.mp3"}
    assert copy.startswith(".") and len(copy) < 40 and is_copy_name(os.fsencode(copy))


def test_R11_R13_real_music_comes_back_byte_for_byte(test_data: Path, tmp_path: Path) -> None:
    """Tags as found in the wild: version 2.3 with ID3v1 behind, genres as numbers and as text."""
    originals = sorted((test_data / "library").rglob("*.mp3")) + sorted(
        (test_data / "full-tracks").glob("*.mp3")
    )
    assert originals
    for original in originals:
        path = Path(shutil.copyfile(original, tmp_path / original.name))
        edit = edit_of(path, "Hip-Hop")
        write(path, edit=edit)
        assert genres(path) == ("Hip-Hop",)
        assert path.read_bytes() != original.read_bytes()
        write(path, edit=TagEdit(edit.after, edit.before))
        assert path.read_bytes() == original.read_bytes(), original
        path.unlink()
