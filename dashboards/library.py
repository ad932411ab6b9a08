"""The library page: the collection in figures, search and filters, a paged table, a player."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page

from dashboards import charts, export, filters, frame, queries, tables, track
from dashboards.filters import LibraryFilter
from dashboards.timeline import clock
from tagger.review import lineage
from tagger.store import Store
from tagger.tracks import FAILURES, Status

PER_PAGE = 50
STATUSES = ("", *(status.value for status in Status), filters.GONE)
_EITHER = "with or without"
_IN_ADDRESS = ("q", "genre", "status", "sure", "artist", "folder", "years", "tag", "differ", "sort", "p")
_KEPT = "filters in the address"
"""In the session: what the address and its widgets said when the page was last drawn."""
_TAGS = {_EITHER: None, "with a genre": True, "without a genre": False}


def page() -> None:
    """Show the page."""
    with frame.desk() as desk:
        _come_back()
        _collection(desk)
        asked = {name: st.query_params.get_all(name) for name in _IN_ADDRESS if name in st.query_params}
        st.session_state[_KEPT] = asked, {name: st.session_state.get(name) for name in asked}


def _come_back() -> None:
    """Show the filters again to who comes back with the browser's Back.

    Between this page and the next Streamlit puts an address without them into the history, and they are lost
    where Back leads to that. Who takes a filter away has changed its widget as well.
    """
    asked, drawn = st.session_state.get(_KEPT, ({}, {}))
    untouched = all(st.session_state.get(name) == value for name, value in drawn.items())
    if asked and untouched and not any(name in st.query_params for name in _IN_ADDRESS):
        st.switch_page(as_page(), query_params=asked)


def _collection(desk: frame.Desk) -> None:
    which = _sidebar(desk)
    text = st.text_input(
        "Search",
        key="q",
        type="search",
        placeholder="Search titles, artists, albums and paths",
        label_visibility="collapsed",
        bind="query-params",
    )
    which = replace(which, text=text or "")
    counted = _overview(desk.store, desk.state, which)
    n = int(counted["n"].sum())
    _figures(counted)
    if not n:
        st.info("No track fits. Take a filter away.", icon=":material/filter_alt_off:")
        return
    _charts(counted)
    _table(desk, which, n)


def as_page() -> Page:
    """For the navigation, and for links here."""
    return st.Page(page, title="Library", icon=":material/library_music:", url_path="library", default=True)


@st.cache_data(max_entries=50, show_spinner=False)
def _overview(_store: Store, state: tuple[int, ...], which: LibraryFilter) -> pd.DataFrame:
    return queries.overview(_store, which)


@st.cache_data(max_entries=4, show_spinner=False)
def _choices(_store: Store, state: tuple[int, ...]) -> tuple[list[str], list[str], tuple[int, int] | None]:
    return queries.labels(_store), queries.folders(_store), queries.years(_store)


def _sidebar(desk: frame.Desk) -> LibraryFilter:
    """The filters but for the search; their values stand in the address."""
    labels, folders, span = _choices(desk.store, desk.state)
    with st.sidebar:
        st.subheader("Filters")
        genre = st.selectbox(
            "Genre by the model",
            ["", *labels, filters.NO_GENRE],
            format_func=_any,
            key="genre",
            bind="query-params",
        )
        status = st.selectbox(
            "Status",
            STATUSES,
            format_func=lambda s: _any(s.replace("_", " ")),
            key="status",
            bind="query-params",
        )
        confidence = st.slider(
            "Confidence", 0, 100, (0, 100), step=5, format="%d %%", key="sure", bind="query-params"
        )
        artist = st.text_input("Artist", key="artist", bind="query-params")
        folder = st.selectbox("Folder", ["", *folders], format_func=_any, key="folder", bind="query-params")
        years: tuple[int | None, int | None] = (None, None)
        if span is not None and span[0] < span[1]:
            first, last = st.slider("Year", *span, span, key="years", bind="query-params")
            years = (first if first > span[0] else None, last if last < span[1] else None)
        tag = st.selectbox("The file itself", list(_TAGS), key="tag", bind="query-params")
        disagrees = st.toggle(
            "File and model disagree",
            key="differ",
            bind="query-params",
            help="The file has a genre, and the model hears one that is neither a kind of it nor above it.",
        )
    return LibraryFilter(
        genre=genre or "",
        status=status or "",
        confidence=(confidence[0] / 100, confidence[1] / 100),
        artist=artist or "",
        folder=folder or "",
        years=years,
        tagged=_TAGS[tag or _EITHER],
        disagrees=bool(disagrees),
        parents=lineage(desk.config.parents),
    )


def _any(value: str) -> str:
    return value or "any"


def _figures(counted: pd.DataFrame) -> None:
    n = int(counted["n"].sum())
    sure = int(counted.loc[counted["genre"] != "", "n"].sum())
    failures = {str(status) for status in FAILURES}
    figures = {
        "Tracks": f"{n:,}",
        "Sure of the genre": f"{sure / n:.0%}" if n else "–",
        "Genre in the file": f"{counted['n_with_tag'].sum() / n:.0%}" if n else "–",
        "Failed": f"{int(counted.loc[counted['status'].isin(failures), 'n'].sum()):,}",
        "Playing time": _hours(float(counted["seconds"].sum())),
    }
    with st.container(horizontal=True, gap="large"):  # side by side, or as many as a phone has room for
        for name, value in figures.items():
            st.metric(name, value, width="content")


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return clock(seconds)
    return f"{seconds / 3600:,.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.0f} days"


def _charts(counted: pd.DataFrame) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Genre**")
        st.altair_chart(charts.genre_bars(counted), alt="Bars: tracks by genre")
        st.markdown("**Status**")
        by_status = counted.groupby("status")["n"].sum()
        words = {(str(name).replace("_", " ") or "not finished"): int(n) for name, n in by_status.items()}
        st.altair_chart(charts.statuses(words), alt="Bars: tracks by status")
    with right:
        st.markdown("**Confidence**")
        if counted["step"].notna().any():
            st.altair_chart(charts.confidence_histogram(counted), alt="Histogram of the confidence")
        else:
            st.caption("None of these was heard to the end.")
        st.markdown("**Year**")
        if counted["decade"].notna().any():
            st.altair_chart(charts.decades(counted), alt="Bars: tracks by decade")
        else:
            st.caption("None of these files states a year.")


def _table(desk: frame.Desk, which: LibraryFilter, n: int) -> None:
    n_pages = math.ceil(n / PER_PAGE)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox("Sort by", list(queries.ORDERS), key="sort", bind="query-params", width=180)
        if n_pages > 1:
            # Another filter is another list: it starts on its own first page.
            key = "p"
            if st.session_state.get(key, 1) > n_pages:
                st.session_state[key] = n_pages
            number = st.pagination(n_pages, key=key, bind="query-params", width="stretch")
        else:
            number = 1
    rows = queries.tracks(
        desk.store, which, order=order or "path", limit=PER_PAGE, offset=(number - 1) * PER_PAGE
    )
    chosen = tables.long(rows, key=f"tracks {hash((which, order, number))}")
    first = (number - 1) * PER_PAGE
    st.caption(f"{first + 1:,}–{first + len(rows):,} of {n:,} · select rows to play and export them")
    if chosen:
        _selected(desk, chosen)
    _exports(desk, which, chosen, n)


def _selected(desk: frame.Desk, chosen: list[int]) -> None:
    row = desk.store.track(chosen[0])
    if row is None:
        return
    with st.container(border=True):
        track.heading(row)
        frame.play(row)
        st.page_link(
            track.as_page(),
            label="Why this genre?",
            icon=":material/graphic_eq:",
            query_params={"id": str(row.id)},
        )


def _exports(desk: frame.Desk, which: LibraryFilter, chosen: list[int], n: int) -> None:
    what = f"{len(chosen):,} selected" if chosen else f"all {n:,}"
    db, ids = desk.config.db, tuple(chosen)

    def made(write: Callable[..., bytes]) -> Callable[[], bytes]:
        return lambda: write(db, which, ids)  # when the button is pressed, in a thread of its own

    with st.container(horizontal=True):
        for name, suffix, mime, write in (
            ("CSV", "csv", "text/csv", export.to_csv),
            ("playlist (M3U8)", "m3u8", "application/vnd.apple.mpegurl", export.to_m3u8),
        ):
            st.download_button(
                f"{name}: {what}",
                made(write),
                file_name=f"tracks.{suffix}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
            )
