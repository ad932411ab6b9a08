"""Hold the database against itself and against the files: what does not agree, and what can be settled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tagger.errors import TagError
from tagger.replace import is_copy_name, sweep
from tagger.store import Store
from tagger.tags import read_tags
from tagger.tracks import display
from tagger.writing import settle_unfinished, without_path

Kind = Literal["database", "open edit", "changed by someone else", "gone", "unreadable", "stray copy"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `fixed` once `verify(fix=True)` has settled it."""

    kind: Kind
    path: bytes
    """The file; of a damaged database, empty."""
    what: str
    fixed: bool = False


def verify(store: Store, *, fix: bool = False) -> Iterator[Finding]:
    """Look for everything that a crash, a full disk or another program may have left.

    Parameters
    ----------
    fix
        Settle what can be settled: edits a killed run left open, and the copies it left beside them. The
        store must be open for writing, under the lock. What somebody else wrote is never touched.

    Raises
    ------
    StoreError
        The database cannot be read (or, to fix, written).
    """
    for trouble in store.integrity_check():
        yield Finding("database", b"", trouble)
    open_edits = store.unsettled()
    strays = list(_stray_copies(store))
    if fix:
        settle_unfinished(store)
        for folder in {os.path.dirname(path) for path in strays}:
            sweep(folder)
    for row in open_edits:
        settled = store.edit(row.id) if fix else None
        what = (
            f"settled as {settled.state}" if settled else "a run was killed while writing; --fix settles it"
        )
        yield Finding("open edit", row.now_at, what, fixed=fix)
    for path in strays:
        fixed = fix and not os.path.lexists(path)
        yield Finding("stray copy", path, "removed" if fixed else "left by a killed run", fixed=fixed)
    yield from _changed_files(store)


def _changed_files(store: Store) -> Iterator[Finding]:
    """Files that do not hold what this program last wrote to them."""
    seen: set[bytes] = set()
    for row in store.edits_in_force():
        path = row.now_at
        if path in seen:  # an earlier edit of the same file
            continue
        seen.add(path)
        try:
            tags = read_tags(path)
        except TagError as error:
            if os.path.lexists(path):
                yield Finding("unreadable", path, without_path(path, str(error)))
            else:
                yield Finding("gone", path, "the file is not there any more")
            continue
        if tags.state != row.edit.after:
            ours, has = ", ".join(row.edit.after.names), ", ".join(tags.genres) or "no genre"
            yield Finding("changed by someone else", path, f"we wrote {ours}, and it has {has}")


def _stray_copies(store: Store) -> Iterator[bytes]:
    """Copies under edit that nobody edits any more, in every folder that holds a known track."""
    for folder in store.folders():
        try:
            with os.scandir(folder) as entries:
                yield from (entry.path for entry in entries if is_copy_name(entry.name))
        except OSError:
            continue  # gone or closed to us: its tracks are reported as such


def describe(finding: Finding) -> str:
    """One line for people."""
    where = f"{display(finding.path)}: " if finding.path else ""
    return f"{'fixed' if finding.fixed else finding.kind}: {where}{finding.what}"
