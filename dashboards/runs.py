"""The runs page: what each run did, what failed and why, what was written and how to take it back."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page

from dashboards import charts, corrections, frame, queries, schedules, tables
from dashboards.timeline import clock
from tagger.tracks import Status, display

_SHOWN = 500
_CHARTED = 30
_CHOSEN = "chosen run"
"""In the session: the id of the selected run, which stays selected when runs are added above it."""


def page() -> None:
    """Show the page."""
    with frame.desk(needs_tracks=False) as desk:
        st.title("Runs")
        st.text(schedules.next_run())
        runs = queries.runs(desk.store)
        if runs.empty:
            frame.beginners(desk.config.db, made=True)
        if message := st.session_state.pop("runs message", ""):
            st.text(message)
        history, errors = st.tabs(["History", f"Errors ({queries.n_failed(desk.store):,})"])
        with history:
            _chart(runs)
            chosen = _history(runs)
            if chosen is not None:
                _run(desk, chosen)
        with errors:
            _errors(desk)


def as_page() -> Page:
    """For the navigation."""
    return st.Page(page, title="Runs", icon=":material/history:", url_path="runs")


def _chart(runs: pd.DataFrame) -> None:
    rows = [
        {"run": str(number), "status": status.replace("_", " "), "n": n}
        for number, counts in list(zip(runs["id"], runs["counts"], strict=True))[:_CHARTED][::-1]
        for status, n in counts.items()
    ]
    if rows:
        st.altair_chart(charts.run_bars(pd.DataFrame(rows)), alt="Outcomes of the last runs")


def _history(runs: pd.DataFrame) -> pd.Series | None:
    shown = runs.assign(took=[clock(s) for s in runs["seconds"].astype("float64")])
    columns = [
        "id",
        "kind",
        "state",
        "started",
        "took",
        "n_tracks",
        "n_written",
        "n_failed",
        "tracks_per_s",
        "model",
    ]
    ids = [int(run_id) for run_id in runs["id"]]
    kept = [ids.index(run_id) for run_id in (st.session_state.get(_CHOSEN),) if run_id in ids]
    picked = st.dataframe(
        shown[columns],
        key=tables.key_of("runs", ids),
        hide_index=True,
        placeholder="",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": kept, "columns": [], "cells": []}},
        column_config={
            "id": st.column_config.NumberColumn("Run", format="%d", width=60),
            "kind": "Kind",
            "state": "State",
            "started": st.column_config.DatetimeColumn("Started", format="YYYY-MM-DD HH:mm"),
            "took": "Took",
            "n_tracks": st.column_config.NumberColumn("Tracks", format="localized"),
            "n_written": st.column_config.NumberColumn("Written", format="localized"),
            "n_failed": st.column_config.NumberColumn("Failed", format="localized"),
            "tracks_per_s": st.column_config.NumberColumn("Tracks/s", format="%.1f"),
            "model": "Model",
        },
    )
    chosen = picked["selection"]["rows"]
    st.session_state[_CHOSEN] = ids[chosen[0]] if chosen else None
    st.caption("Select a run to see what it changed.")
    return runs.iloc[chosen[0]] if chosen else None


def _run(desk: frame.Desk, run: pd.Series) -> None:
    run_id = int(run["id"])
    st.subheader(f"Run {run_id}")
    counts = ", ".join(f"{n:,} {status.replace('_', ' ')}" for status, n in run["counts"].items())
    st.text(counts or "No track was looked at.")
    changed = queries.changes(desk.store, run_id, limit=_SHOWN)
    if changed.empty:
        st.caption("This run wrote to no file.")
        return
    st.dataframe(changed.drop(columns="id"), hide_index=True)
    if len(changed) == _SHOWN:
        st.caption(f"The first {_SHOWN:,} of {run['n_edits']:,} changes.")
    n_done = len(desk.store.edits_of_run(run_id, state="done"))
    if not n_done:
        return
    if not desk.may_write:
        st.code(f"tagger undo {run_id}", language="bash")
        return
    with st.popover("Undo this run", icon=":material/undo:", key=f"undo {run_id}"):
        st.text(
            f"Put back the former genre of {'1 file' if n_done == 1 else f'{n_done:,} files'}?\n"
            "Those somebody changed since are left alone."
        )
        # The key holds the run: a click on what was shown of one run does nothing to another.
        if st.button("Yes, put them back", type="primary", key=f"put back {run_id}"):
            st.session_state["runs message"] = _undo(desk, run_id)
            st.rerun()


def _undo(desk: frame.Desk, run_id: int) -> str:
    said = ""

    def work() -> None:
        nonlocal said
        summary, _ = corrections.take_back_run(desk.config, run_id)
        words = {status: status.replace("_", " ") for status in Status} | {Status.TAGGED: "put back"}
        counts = ", ".join(f"{n:,} {words[status]}" for status, n in summary.counts.items())
        said = f"Run {run_id} was taken back: {counts}."
        st.session_state.pop(_CHOSEN, None)

    return frame.attempt(work) or said


def _errors(desk: frame.Desk) -> None:
    groups = desk.store.errors(paths_each=50)
    if not groups:
        st.success("No track failed when it was last tried.", icon=":material/task_alt:")
        return
    for number, group in enumerate(groups[:50]):
        with st.container(border=True):
            st.text(f"{group.n:,} × {group.status.replace('_', ' ')}: {group.reason}")
            paths = pd.DataFrame({"path": [display(path) for path in group.paths]})
            st.dataframe(
                paths, hide_index=True, key=f"errors {number}", height=min(38 + 35 * len(paths), 220)
            )
            if group.n > len(group.paths):
                st.caption(f"The first {len(group.paths)} of {group.n:,}.")
    st.caption("`tagger run --retry` tries them again.")
