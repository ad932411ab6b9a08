"""Music folders -> `Track`s: every regular file that may hold music, once, in a stable order.

A folder's own files come first, then its folders, both sorted by the bytes of their names. Memory holds one
folder's entries and the folders still to enter, however many files there are.

Left out: hidden files and folders; the service folders of network disks; what the ignore rules leave out;
whatever is no regular file (a pipe, socket or device is never opened) or vanishes meanwhile; links that lead
nowhere or in a circle. Ignore rules have gitignore syntax: a file ``.taggerignore`` holds those of its
folder and below, and the patterns given to `scan`, relative to each root, go before them.

A track's path is its real path, the one without symbolic links: it is the identity of the file, and what the
writer of tags must replace. A link is followed where it leads out of all roots to what no other link has led
to yet; where it leads back inside, the walk comes there by itself. A link to a folder around a root is not
followed, or a stray link to ``/`` would make a music collection of the whole machine.
"""

from __future__ import annotations

import errno
import operator
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tagger.errors import ConfigError, TagError
from tagger.files import explain, open_regular
from tagger.formats.sniff import by_content, by_suffix
from tagger.ignore import Rules, parse_rules
from tagger.places import is_inside
from tagger.tracks import Track, display

IGNORE_FILE = b".taggerignore"
MAX_IGNORE_FILE_BYTES = 1 << 20

SERVICE_FOLDERS = frozenset(
    (b"@eaDir", b"#recycle", b"#snapshot", b"$RECYCLE.BIN", b"System Volume Information", b"lost+found")
)
"""Thumbnails, waste baskets and snapshots of network disks and Windows: copies of music, or not readable."""

_NAME = operator.attrgetter("name")
_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def _nobody_listens(*_told: object) -> None:
    pass


def _nothing_known(path: bytes) -> bool:
    return False


def scan(
    roots: Sequence[bytes],
    *,
    ignore: Sequence[str] = (),
    on_trouble: Callable[[bytes, str], None] = _nobody_listens,
    warn: Callable[[str], None] = _nobody_listens,
    known: Callable[[bytes], bool] = _nothing_known,
) -> Iterator[Track]:
    """Walk folders for tracks.

    Parameters
    ----------
    roots
        Folders and files. A file that is named itself is a track whatever the ignore rules say. A root inside
        another one is walked as a root of its own, not as part of the other.
    ignore
        Patterns in gitignore syntax, relative to each root.
    on_trouble
        Told of a root that is missing or no music (by the path that was given), and of folders and files that
        cannot be read or entered, each with a sentence; the walk goes on.
    warn
        Told of what hides nothing: a line of an ignore file that is no pattern.
    known
        Whether a path is that of a known track: such a file is not opened again to see what it is.

    Yields
    ------
    Track
        Each real file once. Only files whose suffix does not say what they are have been opened. A file found
        through a link has the root of the link, but lies elsewhere.

    Raises
    ------
    ConfigError
        One of the patterns to ignore is none. Raised at the call, before anything is read.
    """
    rules = parse_rules(ignore)
    if rules.invalid:
        raise ConfigError(f"{rules.invalid[0]!r} is not a pattern to ignore files by (gitignore syntax).")
    return _Walk(rules, on_trouble, warn, known).tracks(roots)


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to enter."""

    path: bytes
    """Real path."""
    root: bytes
    place: str
    """The way from the root, through links, ending in ``/`` (empty at the root): what ignore rules see."""
    rules: tuple[tuple[int, Rules], ...]
    """Of the ignore files on the way, the deepest first; each with the length of the `place` it stands in."""

    def inner(self, name: bytes, path: bytes) -> _Folder:
        place = f"{self.place}{os.fsdecode(name)}/"
        return _Folder(path, self.root, place, self.rules)  # `replace` would take three times as long


@dataclass(slots=True)
class _Walk:
    given_rules: Rules
    on_trouble: Callable[[bytes, str], None]
    warn: Callable[[str], None]
    known: Callable[[bytes], bool]
    trees: dict[bytes, bytes] = field(default_factory=dict)
    """Folders walked with all that is below, now, before or later: the roots and the folders links lead to.
    Real path to the path that was given."""
    roots: tuple[bytes, ...] = ()
    """Real paths of the roots that are folders."""
    single_files: set[bytes] = field(default_factory=set)
    """Real paths of files found otherwise than by walking their folder: named as roots, or linked to."""

    def tracks(self, roots: Sequence[bytes]) -> Iterator[Track]:
        for given in roots:
            try:
                if not given:
                    raise FileNotFoundError(
                        errno.ENOENT, "no name"
                    )  # abspath would make it the current folder
                path = os.path.realpath(os.path.abspath(given), strict=True)
                status = os.lstat(path)
            except (OSError, ValueError) as error:
                if isinstance(error, FileNotFoundError):
                    reason = "there is no such file or folder"
                else:
                    reason = explain(error) if isinstance(error, OSError) else "not a possible path"
                self.on_trouble(given, f"{display(given)}: cannot be scanned: {reason}.")
                continue
            if stat.S_ISDIR(status.st_mode):
                self.trees.setdefault(path, given)
            elif path not in self.single_files:
                self.single_files.add(path)
                if stat.S_ISREG(status.st_mode) and self._is_candidate(path):
                    yield _track(path, os.path.dirname(path), status)
                else:
                    self.on_trouble(given, f"{display(given)}: is not a kind of audio file known here.")
        self.roots = tuple(self.trees)
        for root in self.roots:
            yield from self._tree(root)

    def _tree(self, root: bytes) -> Iterator[Track]:
        stack = [_Folder(root, root, "", ())]
        while stack:
            folder = stack.pop()
            below = []
            entries = self._entries(folder)
            if IGNORE_FILE in [entry.name for entry in entries]:
                rules = self._ignore_file(folder)
                if rules is None:
                    continue
                folder = replace(folder, rules=((len(folder.place), rules), *folder.rules))
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                try:
                    if entry.is_symlink():
                        found = self._follow(folder, entry)
                    elif entry.is_dir(follow_symlinks=False):
                        found = self._inner(folder, entry)
                    else:
                        found = self._file(folder, entry)
                except PermissionError as error:
                    # A folder that may be listed but not entered: all its entries.
                    self._trouble(folder.path, "files in it cannot be reached", error)
                    break
                except OSError:  # vanished meanwhile
                    continue
                if isinstance(found, Track):
                    yield found
                elif found:
                    below.append(found)
            stack.extend(reversed(below))

    def _entries(self, folder: _Folder) -> list[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder.path) as entries:
                return sorted(entries, key=_NAME)
        except OSError as error:
            if folder.path in self.trees or not isinstance(error, FileNotFoundError):
                self._trouble(self.trees.get(folder.path, folder.path), "the folder cannot be read", error)
            return []

    def _ignore_file(self, folder: _Folder) -> Rules | None:
        """The rules in it; None where they cannot be read, and so nobody knows what must be left alone."""
        path = os.path.join(folder.path, IGNORE_FILE)
        given = self.trees.get(folder.path, folder.path)  # it is the folder that is not looked into
        try:
            with open_regular(path) as file:
                text = file.read(MAX_IGNORE_FILE_BYTES + 1)
        except (OSError, TagError) as error:
            reason = explain(error) if isinstance(error, OSError) else "it is not a regular file"
            self.on_trouble(given, f"{display(path)}: cannot be read, so its folder is left out: {reason}.")
            return None
        if len(text) > MAX_IGNORE_FILE_BYTES:
            self.on_trouble(given, f"{display(path)}: is too large, so its folder is left out.")
            return None
        lines = os.fsdecode(text.removeprefix(b"\xef\xbb\xbf")).split("\n")
        rules = parse_rules(line.removesuffix("\r") for line in lines)
        if rules.invalid:
            self.warn(f"{display(path)}: {rules.invalid[0]!r} is not a pattern; it matches nothing.")
        return rules

    def _inner(self, folder: _Folder, entry: os.DirEntry[bytes]) -> _Folder | None:
        """A folder to enter later, or nothing."""
        # A folder among the trees is walked as such, with the rules that hold there.
        wanted = entry.path not in self.trees and entry.name not in SERVICE_FOLDERS
        if wanted and not self._ignores(folder, entry.name, is_folder=True):
            return folder.inner(entry.name, entry.path)
        return None

    def _file(self, folder: _Folder, entry: os.DirEntry[bytes]) -> Track | None:
        """A track, or nothing."""
        likely = by_suffix(entry.name)
        if likely is False or (self.single_files and entry.path in self.single_files):
            return None
        if (folder.rules or self.given_rules.rules) and self._ignores(folder, entry.name, is_folder=False):
            return None
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and (likely or self._shows_music(entry.path)):
            return Track(entry.path, folder.root, status.st_size, status.st_mtime_ns, status.st_nlink)
        return None

    def _follow(self, folder: _Folder, link: os.DirEntry[bytes]) -> Track | _Folder | None:
        try:
            path = os.path.realpath(link.path, strict=True)
            status = os.lstat(path)
        except OSError as error:
            if error.errno not in _LEADS_NOWHERE:
                self._trouble(link.path, "the link cannot be followed", error)
            return None
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._is_in_a_tree(path) or self._ignores(folder, link.name, is_folder=is_folder):
            return None
        if is_folder:
            if any(is_inside(root, path) for root in self.roots):
                return None
            self.trees[path] = link.path
            return folder.inner(link.name, path)
        if path in self.single_files or not stat.S_ISREG(status.st_mode) or not self._is_candidate(path):
            return None
        self.single_files.add(path)
        return _track(path, folder.root, status)

    def _is_in_a_tree(self, path: bytes) -> bool:
        while path not in self.trees:
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above
        return True

    def _ignores(self, folder: _Folder, name: bytes, *, is_folder: bool) -> bool:
        if not folder.rules and not self.given_rules.rules:
            return False
        place = folder.place + os.fsdecode(name)
        for start, rules in ((0, self.given_rules), *folder.rules):
            verdict = rules.verdict(place[start:], is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False

    def _is_candidate(self, path: bytes) -> bool:
        """Whether a regular file may hold music: it is opened only where its suffix does not say."""
        likely = by_suffix(os.path.basename(path))
        return self._shows_music(path) if likely is None else likely

    def _shows_music(self, path: bytes) -> bool:
        """Whether a file whose suffix does not say is known to be music, or turns out to be when opened."""
        try:
            return self.known(path) or by_content(path)
        except FileNotFoundError:  # vanished meanwhile
            return False
        except OSError as error:
            self._trouble(path, "cannot be read, and its name does not say what it is", error)
            return False

    def _trouble(self, path: bytes, what: str, error: OSError) -> None:
        self.on_trouble(path, f"{display(path)}: {what}: {explain(error)}.")


def _track(path: bytes, root: bytes, status: os.stat_result) -> Track:
    return Track(path, root, status.st_size, status.st_mtime_ns, status.st_nlink)
