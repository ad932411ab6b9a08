"""The one way this program changes a music file: edit a copy, prove it, put it in the file's place.

The file itself is never opened for writing. A copy beside it gets the new genre; read back, it must hold the
same audio, the same tags but for the genre (and the extra fields), and there what was wanted; it takes over
mode, owner and extended attributes, goes to the disk, and replaces the file in one step. So at every moment,
also after a power failure, the name leads to the whole old file or to the whole new one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from tagger.copies import copy_beside, fill, is_copy_name, rename_over, sweep
from tagger.errors import ChangedMeanwhileError, RefusedError
from tagger.files import open_regular, os_failure
from tagger.formats.digest import digest_of
from tagger.tags import edit_genre, examine
from tagger.tracks import ExtraTag, FileTags, TagEdit, display

# What the system keeps for itself and may not let us set: not lost, it labels the new file anew.
_SYSTEM_XATTRS = ("security.", "trusted.", "system.nfs4", "btrfs.")

__all__ = ["FileStat", "OnStep", "Written", "is_copy_name", "sweep", "write_genre"]

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells that a file has not been touched."""

    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: bytes) -> FileStat:
        """As it is now, links followed.

        Raises
        ------
        OSError
            There is no such file.
        """
        found = os.stat(path)
        return cls(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Written:
    """A file after `write_genre`. `no_change`: it was so before, and nothing was written."""

    size_bytes: int
    mtime_ns: int
    digest: bytes
    no_change: bool = False


def write_genre(
    path: bytes,
    edit: TagEdit,
    *,
    expected: FileStat,
    digest: bytes | None,
    preserve_mtime: bool = False,
    hardlinks: bool = False,
    on_step: OnStep | None = None,
) -> Written:
    """Change a file's genre, or leave the file exactly as it is.

    Parameters
    ----------
    path : bytes
        The file. A symbolic link stays one: what it leads to is replaced.
    edit : TagEdit
        The genre field as it must be found, and as it is to be.
    expected : FileStat
        Size and time of the file as it was listened to.
    digest : bytes or None
        Digest of the audio that was listened to, if known.
    preserve_mtime : bool
        Keep the time of modification to the nanosecond. By default it moves on: media servers notice by it.
    hardlinks : bool
        Write to a file that has other names too. Those keep the old file: the names part company, because
        writing through all of them could not be undone by pulling a plug in the middle.
    on_step : callable, optional
        Told ``copied``, ``edited``, ``verified``, ``fsynced``, ``replaced`` when each is done.

    Returns
    -------
    Written
        Size, time and digest of the file as it is now.

    Raises
    ------
    ChangedMeanwhileError
        The file is gone, or not as expected.
    RefusedError
        Writing might lose something: other names, a read-only mark, its owner, a damaged or unusual tag.
    TagError
        It could not be done (disk full, input/output error…).
    """
    step = on_step or (lambda name: None)
    try:
        target = os.path.realpath(path, strict=True)
        if not stat.S_ISREG(os.lstat(target).st_mode):
            raise _changed(path, "it is no regular file any more")
        with open_regular(target) as original:
            before = os.fstat(original.fileno())
            _check_writable(path, target, before, expected, hardlinks=hardlinks)
            tags, others = examine(original, path)
            sound = digest_of(original)
            if digest is not None and sound != digest:
                raise _changed(path, "its audio is not what was listened to")
            if edit.is_done(tags):
                return Written(before.st_size, before.st_mtime_ns, sound, no_change=True)
            if not edit.is_to_come(tags):
                raise _changed(path, "its genre was changed by someone else")
            with copy_beside(target) as (name, copy):
                fill(copy, original, before.st_size)
                step("copied")
                edit_genre(copy, edit.after, path, edit.extras)
                step("edited")
                _verify(path, copy, edit, tags, others=others, sound=sound)
                step("verified")
                _take_over(path, name, original, copy, before, preserve_mtime=preserve_mtime)
                os.fsync(copy.fileno())
                step("fsynced")
                after = os.fstat(copy.fileno())
                if os.path.realpath(path) != target or not _same(before, os.lstat(target)):
                    raise _changed(path, "it was changed while its copy was edited")
                rename_over(name, target, original, copy)
                _sync_folder(os.path.dirname(target))
                step("replaced")
            return Written(after.st_size, after.st_mtime_ns, sound)
    except FileNotFoundError as error:
        raise _changed(path, "it is not there any more") from error
    except OSError as error:
        raise os_failure("write", path, error) from error


def _changed(path: bytes, what: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(
        f"{display(path)}: {what}; it was left alone, the next run looks at it again"
    )


def _check_writable(
    path: bytes, target: bytes, found: os.stat_result, expected: FileStat, *, hardlinks: bool
) -> None:
    if (found.st_size, found.st_mtime_ns) != (expected.size_bytes, expected.mtime_ns):
        raise _changed(path, "it was changed since it was listened to")
    if found.st_nlink > 1 and not hardlinks:
        raise RefusedError(
            f"{display(path)}: has {found.st_nlink} names (hard links), which would part company; "
            "`--hardlinks write` writes all the same"
        )
    # The folder alone decides whether a file can be replaced; whoever made it read-only meant it.
    if not found.st_mode & 0o222:
        raise RefusedError(f"{display(path)}: is marked read-only; `chmod u+w` allows writing to it")
    if not os.access(target, os.W_OK):
        raise RefusedError(f"{display(path)}: you may not write to it, or its disk is mounted read-only")
    if not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        raise RefusedError(f"{display(path)}: you may not write to its folder, where a copy must be made")


def _verify(
    path: bytes, copy: BinaryIO, edit: TagEdit, before: FileTags, *, others: bytes, sound: bytes
) -> None:
    tags, others_now = examine(copy, path)
    named = [extra.tag for extra in edit.extras]
    same = all((tags.extras or {}).get(tag) == (before.extras or {}).get(tag)
               for tag in ExtraTag if tag not in named)  # fmt: skip
    wrong = (
        "its audio would have changed"
        if digest_of(copy) != sound
        else "tags other than the genre would have changed"
        if others_now != others or not same
        else "the genre would not have been what was wanted"
        if not edit.is_done(tags)
        else ""
    )
    if wrong:
        raise RefusedError(f"{display(path)}: {wrong}, so it was left alone; please report this")


def _take_over(
    path: bytes, name: bytes, original: BinaryIO, copy: BinaryIO, before: os.stat_result, *,
    preserve_mtime: bool,
) -> None:  # fmt: skip
    """Give the copy what belongs to the original. The order matters: chown clears bits of the mode."""
    fd = copy.fileno()
    now = os.fstat(fd)
    if hasattr(os, "fchown") and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(fd, before.st_uid, before.st_gid)
        except PermissionError as error:
            raise RefusedError(
                f"{display(path)}: belongs to another user or group, who would lose it"
            ) from error
    if hasattr(os, "listxattr"):
        _drop_xattrs(original.fileno(), fd)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, stat.S_IMODE(before.st_mode))
    if hasattr(os, "listxattr"):
        _copy_xattrs(original.fileno(), fd)
    if preserve_mtime:
        place = fd if os.utime in os.supports_fd else name
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def _drop_xattrs(source: int, target: int) -> None:
    """Take from the copy what its folder gave it and the file never had: an access control list, mostly."""
    try:
        names = set(os.listxattr(target)) - set(os.listxattr(source))
    except OSError:  # the file system has none
        return
    for name in names:
        if not name.startswith(_SYSTEM_XATTRS):
            os.removexattr(target, name)


def _copy_xattrs(source: int, target: int) -> None:
    """Extended attributes, among them access control lists."""
    try:
        names = os.listxattr(source)
    except OSError:  # the file system has none
        return
    for name in names:
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError:
            if not name.startswith(_SYSTEM_XATTRS):
                raise


def _same(before: os.stat_result, now: os.stat_result) -> bool:
    return all(
        getattr(before, name) == getattr(now, name)
        for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode")
    )


def _sync_folder(folder: bytes) -> None:
    # The new file is on the disk; this puts its name there too. Where it cannot be done (some network shares)
    # a power failure may bring the old file back, whole.
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
