"""The model page: how good the model is, by whose music; what a threshold would mean for this collection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from streamlit.navigation.page import Page

from dashboards import evaluation, frame, modelcharts, queries
from tagger.card import ModelCard
from tagger.errors import ModelError
from tagger.learning.headcard import HeadCard
from tagger.learning.shelf import choices, heads_dir, list_heads
from tagger.store import Store


def page() -> None:
    """Show the page."""
    with frame.desk(needs_tracks=False) as desk:
        st.title("Model")
        cards = frame.installed_cards(desk.config.model)
        if not cards:
            st.warning("No model is installed that can be read.")
            st.code("tagger doctor", language="bash")
            return
        ids = list(cards)
        model_id = st.selectbox("Model", ids, key="model", bind="query-params") if len(ids) > 1 else ids[0]
        directory, card = cards[model_id or ids[0]]
        details = evaluation.read_details(Path(directory), card)
        sets = evaluation.measured(details, card.training)
        _about(card)
        _threshold(desk, card, sets)
        if sets:
            _figures(sets)
        else:
            st.info("No evaluation came with this model: nobody says how often it is right.")
        _strangers(details, card)
        _training(details)
        _compare(cards)
        _heads(desk)


def as_page() -> Page:
    """For the navigation."""
    return st.Page(page, title="Model", icon=":material/neurology:", url_path="model")


def _about(card: ModelCard) -> None:
    learnt = card.training.get("n_clips")
    figures = {
        "Model": card.model_id,
        "Genres": str(len(card.genres)),
        "Size": f"{card.weights.size_bytes / 1e6:.1f} MB",
        "Learnt from": f"{learnt:,} clips" if isinstance(learnt, int) else "not said",
    }
    with st.container(horizontal=True, gap="large"):
        for name, value in figures.items():
            st.metric(name, value, width="content")
    st.text(f"Genres: {', '.join(card.genres)}")


@st.cache_data(max_entries=4, show_spinner="Counting …")
def _sureness(
    _store: Store, state: tuple[int, ...], model_id: str, margin: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return queries.sureness(_store, model_id, margin=margin)


@st.cache_data(max_entries=50, show_spinner=False)
def _refused(
    _store: Store, state: tuple[int, ...], model_id: str, threshold: float, margin: float
) -> tuple[int, int]:
    return queries.refused(_store, model_id, threshold, margin=margin)


def _threshold(desk: frame.Desk, card: ModelCard, sets: list[evaluation.Measured]) -> None:
    st.subheader("How sure must it be?")
    head = frame.head_in_use(desk.config, card)
    limits = frame.limits(desk.config, card, head)
    st.caption(
        "From the threshold on a genre is written; below it the track counts as uncertain and is left alone. "
        f"In force now: {limits.threshold:.0%}. Move the slider to see what another would mean; "
        "to change it, set `threshold` in the configuration."
    )
    if head is not None:
        st.text(f"{head.card.head_id} decides in its place; what was measured below is the model without it.")
    threshold = st.slider(
        "Threshold",
        0,
        100,
        round(limits.threshold * 100),
        format="%d %%",
        key="threshold",
        bind="query-params",
    )
    t = limits.threshold if threshold == round(limits.threshold * 100) else threshold / 100
    confidence, tagged = _sureness(desk.store, desk.state, card.model_id, limits.margin)
    sure = (confidence >= t) & (confidence > 0)
    n_refused, n_bare_refused = _refused(desk.store, desk.state, card.model_id, t, limits.margin)
    n_named, n_bare = int(sure.sum()) - n_refused, int((sure & ~tagged).sum()) - n_bare_refused
    curve = evaluation.risk_coverage(sets[0].figures) if sets else None
    columns = st.columns(3)
    if len(confidence):
        columns[0].metric(
            "Of your tracks, sure enough",
            f"{n_named:,} of {len(confidence):,}",
            f"{n_named / len(confidence):.0%}",
            delta_color="off",
            delta_arrow="off",
        )
        n_without = int((~tagged).sum())
        columns[1].metric(
            "Of those without a genre", f"{n_bare:,} of {n_without:,}",
            f"{n_bare / max(n_without, 1):.0%}", delta_color="off", delta_arrow="off",
        )  # fmt: skip
        if n_refused:
            columns[0].caption(f"{n_refused:,} more as sure, but like no music it knows: left alone.")
    else:
        columns[0].metric("Of your tracks, sure enough", "none heard yet")
        columns[1].text(
            "Your tracks were heard with another model, or not yet:\ntagger run --stale listens with this."
        )
    if curve is not None:
        here = modelcharts.at_threshold(curve, t)
        right = "–" if here is None else f"{here['precision']:.0%}"
        columns[2].metric("Of such, right when measured", right)
        left, other = st.columns(2, gap="large")
        with left:
            st.markdown("**Precision against coverage**")
            st.altair_chart(modelcharts.risk_coverage(curve, t), alt="Precision against coverage")
        with other:
            bins = evaluation.reliability(sets[0].figures)
            if bins is not None:
                st.markdown("**Is it as often right as it says?**")
                st.altair_chart(modelcharts.reliability(bins), alt="Reliability diagram")


def _figures(sets: list[evaluation.Measured]) -> None:
    st.subheader("How often is it right?")
    st.altair_chart(modelcharts.accuracy(evaluation.accuracies(sets)), alt="Accuracy by set of tracks")
    st.caption(
        "Whole tracks of artists it did not learn from, with the 95 % interval. Held out: from the "
        "collections it learnt from. Other collections: from elsewhere, as yours is."
    )
    title = st.selectbox("Look closer at", [one.title for one in sets], key="set", bind="query-params")
    figures = next((one.figures for one in sets if one.title == title), sets[0].figures)
    left, right = st.columns(2, gap="large")
    matrix, scores = evaluation.confusion(figures), evaluation.per_genre(figures)
    with left:
        if matrix is not None:
            st.markdown("**What its genres are called**")
            st.altair_chart(modelcharts.confusion(matrix), alt="Confusion matrix")
    with right:
        if scores is not None:
            st.markdown("**Genre by genre**")
            st.altair_chart(modelcharts.per_genre(scores), alt="Precision, recall and F1 by genre")
            with st.expander("As a table"):
                st.dataframe(scores, hide_index=True)


def _strangers(details: Mapping[str, Any], card: ModelCard) -> None:
    found = evaluation.strangers(details, card.training)
    if found is None:
        return
    st.subheader("Music it has no word for")
    st.caption("How much music of none of its genres was given one all the same: the less the better.")
    st.dataframe(
        found.assign(share_named=found["share_named"] * 100),
        hide_index=True,
        width="content",
        column_config={
            "music": st.column_config.TextColumn("Music"),
            "n_tracks": st.column_config.NumberColumn("Tracks"),
            "share_named": st.column_config.NumberColumn("Named", format="%.0f %%"),
        },
    )


def _training(details: Mapping[str, Any]) -> None:
    curve, splits = evaluation.learning_curve(details), evaluation.splits(details)
    if curve is None and splits is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        if curve is not None:
            st.subheader("How it learnt")
            st.altair_chart(modelcharts.learning_curve(curve), alt="Learning curve")
            if spread := evaluation.seeds(details):
                st.caption(f"Right on held-out tracks: {spread}.")
    with right:
        if splits is not None:
            st.subheader("Why others promise more")
            st.altair_chart(modelcharts.splits(splits), alt="Honest and leaky split")
            st.caption(
                "Tutorials often cut tracks into chunks and deal these out at random. Then nearly every "
                "chunk they test has a neighbour of the same track among those learnt from, and the figure "
                "says nothing about new music."
            )


def _compare(cards: dict[str, tuple[str, ModelCard]]) -> None:
    if len(cards) < 2:
        return
    st.subheader("Installed models")
    rows = []
    for model_id, (directory, card) in cards.items():
        sets = evaluation.measured(evaluation.read_details(Path(directory), card))
        held_out = next((one.figures for one in sets if one.part == "held out"), {})
        elsewhere = [one.figures["accuracy"] for one in sets if one.part != "held out"]
        rows.append(
            {
                "model": model_id,
                "genres": len(card.genres),
                "MB": card.weights.size_bytes / 1e6,
                "threshold": card.decision.threshold,
                "held out": _percent(held_out.get("accuracy")),
                "elsewhere": _percent(np.mean(elsewhere) if elsewhere else None),
                "calibration error": held_out.get("ece"),
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="content",
        column_config={
            "MB": st.column_config.NumberColumn(format="%.1f"),
            "threshold": st.column_config.NumberColumn(format="%.2f"),
            "held out": st.column_config.NumberColumn(format="%.0f %%"),
            "elsewhere": st.column_config.NumberColumn(format="%.0f %%"),
            "calibration error": st.column_config.NumberColumn(format="%.2f"),
        },
    )


def _heads(desk: frame.Desk) -> None:
    """What was learnt from this collection, and how each head fared on its labels when it was."""
    shelf = heads_dir(desk.config.db)
    good = [one for one in list_heads(shelf) if isinstance(one, HeadCard)]
    if not good:
        return
    st.subheader("Learnt from your labels")
    try:
        used = (choices(shelf) or [""])[-1]
    except ModelError as error:
        used = ""
        st.text(str(error))
    rows = [
        {
            "head": one.head_id,
            "in use": one.head_id == used,
            "on": one.base,
            "labels": sum(one.labels.values()),
            "genres": len(one.genres),
            "right": _percent(one.metrics.get("accuracy")),
            "before it": _percent(one.metrics.get("in_use_accuracy")),
            "named": _percent(one.metrics.get("coverage")),
            "of these right": _percent(one.metrics.get("precision")),
        }
        for one in good
    ]
    shares = ("right", "before it", "named", "of these right")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="content",
        column_config={name: st.column_config.NumberColumn(format="%.0f %%") for name in shares},
    )
    st.caption("On your labelled tracks, each judged while its artist was left out; `tagger models` chooses.")


def _percent(share: Any) -> float | None:
    return None if share is None else 100 * float(share)
