"""The map page: the collection spread out by how it sounds; a click plays a track."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page

from dashboards import charts, frame, queries, track
from tagger import similar
from tagger.store import Store


def page() -> None:
    """Show the page."""
    with frame.desk() as desk:
        st.title("Map")
        models = desk.store.summary().by_model
        if not models:
            st.info("No track was heard to the end yet, so there is nothing to map.")
            return
        model_id = next(iter(models))
        points, n_all = _points(desk.store, desk.state, model_id)
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


@st.cache_data(max_entries=3, show_spinner="Drawing the map …")
def _points(_store: Store, state: tuple[int, ...], model_id: str) -> tuple[pd.DataFrame, int]:
    embeddings = similar.load_embeddings(_store, model_id, limit=4_000)
    return queries.map_points(_store, embeddings.ids, similar.flat(embeddings)), embeddings.n_all
