"""Which tracks a question is about, as a condition in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tagger.places import SEP, below
from tagger.store.columns import plain
from tagger.tracks import Status


class Condition(Protocol):
    """Anything that says which tracks."""

    def where(self) -> tuple[str, list[object]]:
        """SQL condition on `tracks`, and its parameters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFilter:
    """Which tracks; every condition given must hold."""

    text: str = ""
    """Words, each the beginning of one in title, artist, album or path; case and accents do not matter."""
    genre: str | None = None
    """A label of the model, in any case."""
    status: Status | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    min_tempo: float | None = None
    """Beats a minute; where the tempo is not known, neither this nor the next holds."""
    max_tempo: float | None = None
    folder: bytes | None = None
    """Tracks anywhere below it; of a file, that track."""
    missing: bool | None = None
    """True: gone from the disk; False: not gone."""
    stale_model: str | None = None
    """Tracks analysed with another model than this one."""

    def where(self) -> tuple[str, list[object]]:
        """SQL condition on `tracks`, and its parameters."""
        clauses: list[str] = ["1"]
        params: list[object] = []

        def add(clause: str, *values: object) -> None:
            clauses.append(clause)
            params.extend(values)

        if self.text.strip():
            add(*_text_clause(self.text))
        if self.genre is not None:
            add("genre = ?", plain(self.genre))
        if self.status is not None:
            add("status = ?", self.status.value)
        if self.min_confidence is not None:
            add("confidence >= ?", self.min_confidence)
        if self.max_confidence is not None:
            add("confidence <= ?", self.max_confidence)
        if self.min_tempo is not None:
            add("tempo_bpm >= ?", self.min_tempo)
        if self.max_tempo is not None:
            add("tempo_bpm <= ?", self.max_tempo)
        if self.folder is not None:
            # One stretch of the index of paths, from the file itself to the last below the folder: what else
            # lies in it ("Jazz (live)" is between "Jazz" and "Jazz/") is left out on the way.
            itself, (first, end) = self.folder.rstrip(SEP), below(self.folder)
            add("path >= ? AND path < ? AND (path = ? OR path >= ?)", itself, end, itself, first)
        if self.missing is not None:
            add(f"missing_since_ns IS {'NOT ' if self.missing else ''}NULL")
        if self.stale_model is not None:
            add("model_id <> ?", self.stale_model)
        return " AND ".join(clauses), params


EVERYTHING = TrackFilter()


def _text_clause(text: str) -> tuple[str, str]:
    text = str(plain(text))
    words = [word.replace('"', '""') for word in text.split() if any(map(str.isalnum, word))]
    if words:
        query = " ".join(f'"{word}"*' for word in words)
        return "tracks.id IN (SELECT rowid FROM tracks_fts WHERE tracks_fts MATCH ?)", query
    # Nothing but signs, which the index leaves out.
    return "instr(title || ' ' || artist || ' ' || album || ' ' || display, ?) > 0", text.strip()
