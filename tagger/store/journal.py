"""The journal of edits: what was to be written to which file, what became of it, and how to take it back.

An edit is committed as intended before its file is touched, and settled afterwards. What a killed run left
intended is settled by the next one, from the file itself.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from tagger.store import rows
from tagger.store.columns import edit_to_json, state_from_json, state_to_json, to_json
from tagger.store.library import Library
from tagger.store.rows import EDIT_COLUMNS, EditRow, EditState
from tagger.tracks import GenreState, TagEdit


class Journal(Library, ABC):
    """Reads and writes edits by the means of `Store`."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is written, or nothing is."""

    @abstractmethod
    def _insert(self, table: str, fields: Mapping[str, object]) -> int:
        """Insert a row, return its id."""

    @abstractmethod
    def _update(self, table: str, row_id: int, fields: Mapping[str, object]) -> None:
        """Change columns of a row."""

    def intend(
        self,
        run_id: int,
        track_id: int | None,
        path: bytes,
        edit: TagEdit,
        *,
        size_bytes: int,
        mtime_ns: int,
        undoes: int | None = None,
    ) -> int:
        """Record an edit before its file is touched. `track_id` is None for a track that was forgotten.

        Durable once the transaction it is called in is committed: commit before replacing the file.

        Parameters
        ----------
        size_bytes, mtime_ns : int
            The file as it is now.
        undoes : int, optional
            Id of the edit that this one takes back; it becomes ``undone`` when this one is done, and the edit
            which that one had undone, if any, is in force again.

        Returns
        -------
        int
            Id of the edit, to settle it by.
        """
        before, after = edit_to_json(edit)
        with self.transaction():
            return self._insert(
                "edits",
                {
                    "run_id": run_id,
                    "track_id": track_id,
                    "path": path,
                    "before": before,
                    "after": after,
                    "state": "intended",
                    "undoes": undoes,
                    "size_before_bytes": size_bytes,
                    "mtime_before_ns": mtime_ns,
                    "intended_ns": time.time_ns(),
                },
            )

    def settle(
        self,
        edit_id: int,
        state: Literal["done", "abandoned", "superseded"],
        *,
        size_bytes: int | None = None,
        mtime_ns: int | None = None,
        file_genres: Sequence[str] | None = None,
    ) -> None:
        """Record what became of an intended edit.

        Parameters
        ----------
        state : {"done", "abandoned", "superseded"}
            ``done``: the file is replaced. ``abandoned``: it is as it was. ``superseded``: somebody else has
            changed it since.
        size_bytes, mtime_ns : int
            The new file; required for ``done``, when the track's row follows: it is not listened to again.
        file_genres : sequence of str, optional
            The readable genres the file has now, where they are not just the values written.

        Raises
        ------
        ValueError
            The edit is settled already, or a done edit comes without size and time.
        """
        with self.transaction():
            edit = self.edit(edit_id)
            if edit is None or edit.state != "intended":
                raise ValueError(
                    f"edit {edit_id} is {'unknown' if edit is None else edit.state}, not intended"
                )
            now = time.time_ns()
            if state != "done":
                self._update("edits", edit_id, {"state": state, "settled_ns": now})
                return
            if size_bytes is None or mtime_ns is None:
                raise ValueError("a done edit needs the size and time of the new file")
            self._update(
                "edits",
                edit_id,
                {
                    "state": "done",
                    "size_after_bytes": size_bytes,
                    "mtime_after_ns": mtime_ns,
                    "settled_ns": now,
                },
            )
            if edit.undoes is not None:
                self._undone(edit.undoes, now)
            if edit.track_id is not None:
                after = edit.edit.after
                self._update(
                    "tracks",
                    edit.track_id,
                    {
                        "size_bytes": size_bytes,
                        "mtime_ns": mtime_ns,
                        "file_state": state_to_json(after),
                        "file_genres": to_json(after.names if file_genres is None else file_genres),
                        "updated_ns": now,
                    },
                )

    def _undone(self, edit_id: int, now: int) -> None:
        self._update("edits", edit_id, {"state": "undone", "settled_ns": now})
        edit = self.edit(edit_id)
        if edit is not None and edit.undoes is not None:
            # What was taken back was itself an undoing: the edit it had undone is in force again.
            self._update("edits", edit.undoes, {"state": "done", "settled_ns": now})

    def edit(self, edit_id: int) -> EditRow | None:
        """One edit."""
        found = self._edits("edits.id = ?", (edit_id,))
        return found[0] if found else None

    def unsettled(self) -> list[EditRow]:
        """Edits that a killed run left intended, oldest first."""
        return self._edits("edits.state = 'intended' ORDER BY edits.id")

    def edits_of_run(self, run_id: int, *, state: EditState | None = None) -> list[EditRow]:
        """Edits of a run, the latest first: the order to undo them in."""
        return self._edits(
            "edits.run_id = ? AND (? IS NULL OR edits.state = ?) ORDER BY edits.id DESC",
            (run_id, state, state),
        )

    def edits_in_force(self) -> list[EditRow]:
        """What all runs wrote and nobody has taken back, the latest first."""
        return self._edits("edits.state = 'done' AND edits.undoes IS NULL ORDER BY edits.id DESC")

    def edits_of_track(self, track_id: int) -> list[EditRow]:
        """What was written to a track, the latest first."""
        return self._edits("edits.track_id = ? ORDER BY edits.id DESC", (track_id,))

    def latest_write_run(self) -> int | None:
        """Id of the last run that has edits to undo; undoing is no such run."""
        found = self._one("SELECT max(run_id) FROM edits WHERE state = 'done' AND undoes IS NULL")
        return None if found[0] is None else int(found[0])

    def last_own_state(self, track_id: int) -> GenreState | None:
        """The genre field as this program last wrote it and did not take back; None if it never did.

        None, too, where a person has said what the track is: what was written then is their word, not ours.
        """
        found = self._all(
            "SELECT after FROM edits WHERE track_id = ? AND state = 'done' AND undoes IS NULL AND NOT EXISTS "
            f"(SELECT 1 FROM labels WHERE track_id = edits.track_id AND source IN {rows.PERSONS}) "
            "ORDER BY id DESC LIMIT 1",
            (track_id,),
        )
        return state_from_json(found[0][0]) if found else None

    def _edits(self, where: str, params: Sequence[object] = ()) -> list[EditRow]:
        found = self._all(
            f"SELECT {EDIT_COLUMNS} FROM edits LEFT JOIN tracks ON tracks.id = edits.track_id WHERE {where}",
            params,
        )
        return [rows.edit_row(row) for row in found]
