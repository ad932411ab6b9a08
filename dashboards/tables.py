"""Tables of tracks with rows to select. Texts from files are shown as they are, never as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st

from dashboards.timeline import clock

_ROWS_SEEN = 16
_ROW_PX, _SCROLLBAR_PX = 35, 14
_COLUMNS = {
    "title": st.column_config.TextColumn("Title", width="medium"),
    "artist": st.column_config.TextColumn("Artist", width=150),
    "genre": st.column_config.TextColumn("Model's genre", width=110),
    "confidence": st.column_config.ProgressColumn(
        "Confidence", format="%.0f %%", min_value=0, max_value=100, width=120
    ),
    "in_file": st.column_config.TextColumn("File's genre", width=130),
    "status": st.column_config.TextColumn("Status", width=90),
    "length": st.column_config.TextColumn("Length", width=65),
    "tempo_bpm": st.column_config.NumberColumn("BPM", format="%.0f", width=60),
    "album": st.column_config.TextColumn("Album", width=150),
    "year": st.column_config.TextColumn("Year", width=60),
    "path": st.column_config.TextColumn("Path", width="large"),
}


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Frame of `queries.tracks` as people read it."""
    names = [
        title or path.rpartition("/")[2] for title, path in zip(rows["title"], rows["path"], strict=True)
    ]
    return rows.assign(
        title=names,
        length=[clock(s) for s in rows["duration_s"].astype("float64")],
        confidence=rows["confidence"] * 100,
        year=["" if pd.isna(year) or not year else f"{year:.0f}" for year in rows["year"]],
    )


def key_of(name: str, ids: Iterable[int]) -> str:
    """Key of a table with rows to select: other rows are another table.

    A selection is a row's number. Were it kept while a run adds rows above, it would slide to a neighbour.
    """
    return f"{name} {hash(tuple(map(int, ids)))}"


def long(rows: pd.DataFrame, *, key: str) -> list[int]:
    """Everything about tracks; the ids of the selected rows. `rows` of `queries.tracks`."""
    picked = st.dataframe(
        _shown(rows)[list(_COLUMNS)],
        key=key_of(key, rows["id"]),
        hide_index=True,
        height=_ROW_PX * (min(len(rows), _ROWS_SEEN) + 1) + _SCROLLBAR_PX,
        on_select="rerun",
        selection_mode="multi-row",
        column_config=_COLUMNS,
    )
    return [int(rows["id"].iloc[i]) for i in picked["selection"]["rows"] if i < len(rows)]


def short(rows: pd.DataFrame, *, key: str, extra: Sequence[str] = ()) -> int | None:
    """The most important of a few tracks; the id of the selected one. `extra`: columns to begin with."""
    alike = st.column_config.ProgressColumn("Alike", format="%.2f", min_value=0, max_value=1, width=100)
    picked = st.dataframe(
        _shown(rows)[[*extra, "title", "artist", "genre", "in_file", "length"]],
        key=key_of(key, rows["id"]),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config=_COLUMNS | {"similarity": alike},
    )
    chosen = picked["selection"]["rows"]
    return int(rows["id"].iloc[chosen[0]]) if chosen and chosen[0] < len(rows) else None
