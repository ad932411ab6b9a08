"""The map page: the collection spread out by how it sounds; a click plays a track."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page

from dashboards import charts, corrections, frame, queries, track
from tagger.atlas import MapState, map_places, map_state
from tagger.store import Store

_MOST_DOTS = 4_000
"""More would hide one another, and make the browser slow."""


def page() -> None:
    """Show the page."""
    with frame.desk() as desk:
        st.title("Map")
        if not desk.store.summary().by_model:
            st.info("No track was heard to the end yet, so there is nothing to map.")
            return
        state = map_state(desk.store)
        _how_current(desk, state)
        if state is None:
            return
        points, n_all = _points(desk.store, desk.state)
        if points.empty:
            st.info("No track has sound to map.")
            return
        st.caption(_explanation(len(points), n_all))
        picked = st.altair_chart(
            charts.collection_map(points),
            key="map",
            on_select="rerun",
            selection_mode="track",
            alt="Map of the tracks",
        )
        chosen = picked["selection"].get("track", [])
        if not chosen:
            st.caption("Click a dot to hear it; click a genre in the legend to see it alone.")
            return
        row = desk.store.track(int(chosen[0]["id"]))
        if row is not None:
            with st.container(border=True):
                track.heading(row)
                frame.play(row)
                st.page_link(
                    track.as_page(),
                    label="Why this genre?",
                    icon=":material/graphic_eq:",
                    query_params={"id": str(row.id)},
                )


def as_page() -> Page:
    """For the navigation."""
    return st.Page(page, title="Map", icon=":material/scatter_plot:", url_path="map")


def _explanation(n: int, n_all: int) -> str:
    sample = f" {n:,} of {n_all:,} tracks, drawn at random." if n < n_all else f" {n:,} tracks."
    return f"Near means alike to the model: the two main directions of what it heard.{sample}"


def _how_current(desk: frame.Desk, state: MapState | None) -> None:
    """Say when there is no map, or one of a library that has moved on, and how to compute it."""
    if state is not None and state.is_current:
        return
    if state is None:
        st.info("The map of this library was not computed yet. It takes seconds:")
    else:
        since = "1 track was" if state.n_since == 1 else f"{state.n_since:,} tracks were"
        made = datetime.fromtimestamp(state.made_ns / 1e9).strftime("%Y-%m-%d %H:%M")
        st.warning(f"This map is of {made}; {since} heard since. To compute it again:")
    st.code("tagger map", language="bash")
    if desk.may_write and st.button("Compute it now", icon=":material/refresh:"):
        refused = frame.attempt(lambda: corrections.draw_map(desk.config))
        if not refused:
            st.rerun()
        st.text(refused)


@st.cache_data(max_entries=3, show_spinner="Drawing the map …")
def _points(_store: Store, state: tuple[int, ...]) -> tuple[pd.DataFrame, int]:
    places = map_places(_store, limit=_MOST_DOTS)
    return queries.map_points(_store, places.ids, places.at), places.n_all
