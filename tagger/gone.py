"""What is not there: tracks gone from the folders of a run, and paths that no question can be about."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Container, Sequence

from tagger.store import Store, TrackFilter
from tagger.tracks import display

FEW_TRACKS = 10
"""Below this, half of a folder's tracks may well have been deleted on purpose."""


def mark_gone(
    store: Store,
    roots: Sequence[bytes],
    seen: Container[int],
    *,
    unreadable: Collection[bytes],
    warn: Callable[[str], None],
) -> int:
    """Mark the tracks below the folders that were walked and that nobody saw there.

    Parameters
    ----------
    roots
        What was to be scanned. What is no folder, or could not be read, is left out.
    seen
        Ids of the tracks found.
    unreadable
        Folders that could not be looked into: nothing is said of the tracks below.
    warn
        Told of a folder where most tracks have vanished, so that none was marked.

    Returns
    -------
    int
        How many tracks below the folders are missing now.

    Raises
    ------
    StoreError
        The database cannot be read or written any more.
    """
    walked = []
    for root in roots:
        if root in unreadable or not os.path.isdir(root):
            continue
        if not store.unseen_below(root, seen)[0]:
            continue  # all are there: no second look at the rows
        n_known, n_gone = store.missing_share(root, seen)
        if n_known >= FEW_TRACKS and 2 * n_gone > n_known:
            warn(
                f"{display(root)}: {n_gone:,} of {n_known:,} known tracks are gone, so none was marked "
                "as missing; see whether the disk is mounted."
            )
        else:
            walked.append(root)
    return store.mark_missing(walked, seen, unreadable=unreadable)


def nowhere(store: Store, path: bytes) -> str:
    """The sentence on a path that is not there, and where no track was ever known; else empty.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    if os.path.lexists(path) or store.track_ids(TrackFilter(folder=path), limit=1):
        return ""
    return f"{display(path)}: there is no such file or folder, and no track is known there."
