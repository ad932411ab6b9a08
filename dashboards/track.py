"""The track page: sound, what the model heard when, what the threshold made of it, neighbours, history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pandas as pd
import streamlit as st
from streamlit.navigation.page import Page

from dashboards import corrections, frame, listening, pictures, queries, tables, trackcharts
from dashboards.filters import LibraryFilter
from dashboards.timeline import clock, local_time, mel_ticks, timeline
from tagger.card import ModelCard
from tagger.decision import chunk_probabilities
from tagger.errors import TaggerError
from tagger.explain import chunk_starts, heard_in_part
from tagger.feature_config import FeatureConfig
from tagger.similar import nearest_in
from tagger.store import Store
from tagger.store.rows import EditRow, TrackRow
from tagger.tracks import Status, TrackAnalysis, display


def page() -> None:
    """Show the page of the track that the address names by its id."""
    with frame.desk() as desk:
        row = _asked_for(desk)
        if row is None:
            _choose(desk)
            return
        heading(row)
        _sound_and_time(desk, row)
        left, right = st.columns(2, gap="large")
        with left:
            _genres(desk, row)
        with right:
            _facts(row)
        _neighbours(desk, row)
        _history(desk, row)


def as_page() -> Page:
    """For the navigation, and for links here; the query parameter ``id`` names the track."""
    return st.Page(page, title="Track", icon=":material/graphic_eq:", url_path="track")


def heading(row: TrackRow) -> None:
    """Title, artist and album of a track: texts from the file, shown as they are."""
    with st.container(key=f"title-{row.id}"):  # made large by the style of `dashboards.frame`
        st.text(row.title or display(row.path.rpartition(b"/")[2]))
    tempo = "" if row.tempo_bpm is None else f"{row.tempo_bpm:.0f} BPM"
    year = str(row.year or "")  # many a program writes a 0 where it knows none
    parts = [row.artist, row.album, year, clock(row.duration_s), tempo]
    st.text(" · ".join(part for part in parts if part))


def _asked_for(desk: frame.Desk) -> TrackRow | None:
    text = st.query_params.get("id", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        if text:
            st.warning("The address names no track.")
        return None
    row = desk.store.track(int(text))
    if row is None:
        st.warning("This track is not in the database any more.")
    return row


def _choose(desk: frame.Desk) -> None:
    st.title("Track")
    text = st.text_input("Find a track", type="search", placeholder="Title, artist, album or path")
    rows = queries.tracks(desk.store, LibraryFilter(text=text or ""), order="newest", limit=20)
    if rows.empty:
        st.info("No track fits.")
        return
    picked = tables.short(rows, key=f"choose {text}")
    if picked is not None:
        _go_to(picked)


def _go_to(track_id: int) -> NoReturn:
    """Show another track. A link from this page to itself would leave the address at the former one."""
    st.query_params["id"] = str(track_id)
    st.rerun()


def _sound_and_time(desk: frame.Desk, row: TrackRow) -> None:
    analysis = desk.store.analysis(row.id)
    card, note = _card_for(desk, row, analysis)
    key = f"timeline {row.id}"
    frame.play(row, start_s=_clicked(key))
    with st.container(key="over-time"):
        duration = row.duration_s or 0.0
        _spectrogram(row, card.features if card else FeatureConfig(), duration)
        if analysis is None or not len(analysis.activations):
            st.text(f"The model heard nothing in this track: {row.abstain or row.reason or 'no audio'}.")
        elif card is None or analysis.activations.shape[1] != len(card.genres):
            st.caption(
                "The model that heard this track is not installed, so its genres over time have no names."
            )
        else:
            over_time(analysis, card, key=key)
            if note:
                st.caption(note)


def _card_for(
    desk: frame.Desk, row: TrackRow, analysis: TrackAnalysis | None
) -> tuple[ModelCard | None, str]:
    """Card of the model that heard a track, or of another version that calls its outputs the same."""
    card = frame.card_of(row.model_id, desk.config)
    if card is not None or analysis is None or not len(analysis.activations) or not row.probabilities:
        return card, ""
    best = max(row.probabilities, key=lambda label: row.probabilities[label])
    for model_id, (_, other) in frame.installed_cards(desk.config.model).items():
        if set(other.genres) == set(row.probabilities) and analysis.activations.shape[1] == len(other.genres):
            mean = chunk_probabilities(analysis, other).mean(axis=0)
            if other.genres[int(mean.argmax())] == best:
                return other, f"Heard with {row.model_id}; calibrated here as {model_id}, which is installed."
    return None, ""


def _clicked(key: str) -> float:
    """The second that was clicked on the chart of the last run of the page, 0 where none was."""
    state = st.session_state.get(key)
    points = state["selection"].get("at", []) if state else []
    return float(points[0].get("second", 0)) if points else 0.0


def over_time(analysis: TrackAnalysis, card: ModelCard, *, key: str) -> None:
    """The genres of a track over its seconds."""
    heard_s, features = analysis.analysed_s, card.features
    starts, exact = chunk_starts(len(analysis.activations), heard_s, features, duration_s=analysis.duration_s)
    in_part = heard_in_part(heard_s, analysis.duration_s, features)
    end_s = analysis.duration_s if in_part else heard_s
    data = timeline(chunk_probabilities(analysis, card), card.genres, starts, end_s, features)
    st.altair_chart(
        trackcharts.activations(data, end_s), key=key, on_select="rerun", selection_mode="at",
        alt="Genres over time",
    )  # fmt: skip
    note = "What the model heard in every 4 seconds. Click to listen from there."
    if in_part:
        note += f" It heard {clock(heard_s)} of {clock(end_s)}; between its segments the chart is a guess."
    st.caption(note if exact else f"{note} Silent parts are left out, so the seconds are approximate.")


@st.cache_data(max_entries=30, show_spinner="Drawing the spectrogram …")
def _mel(_row: TrackRow, identity: tuple[object, ...], config: FeatureConfig) -> tuple[str, float]:
    mel, seconds = listening.mel_of(listening.file_of(_row), config)
    return pictures.data_url(pictures.spectrogram_png(mel)), seconds


def _spectrogram(row: TrackRow, config: FeatureConfig, duration_s: float) -> None:
    try:
        url, seconds = _mel(row, (row.id, row.path, row.size_bytes, row.mtime_ns), config)
    except TaggerError:
        return  # the player has said why
    spectrogram(url, seconds, max(duration_s, seconds), config)


def spectrogram(url: str, seconds: float, duration_s: float, config: FeatureConfig) -> None:
    """Picture of the sound above the chart of its genres."""
    st.altair_chart(
        trackcharts.spectrogram(url, seconds, duration_s, mel_ticks(config), config.n_mels),
        alt="Mel spectrogram",
    )


def _genres(desk: frame.Desk, row: TrackRow) -> None:
    st.subheader("Genre")
    threshold = frame.threshold_in_force(desk.config, frame.card_of(row.model_id, desk.config))
    if row.probabilities:
        st.altair_chart(
            trackcharts.top_genres(row.probabilities, threshold=threshold), alt="Most probable genres"
        )
    st.text(verdict(row, threshold))
    if row.status is not None:
        st.text(f"Last run: {row.status.replace('_', ' ')}, {row.reason}".rstrip(", "))


def verdict(row: TrackRow, threshold: float | None) -> str:
    """What the threshold made of the model's guess, in a sentence."""
    if row.model_id is None:
        return "The model has not heard this track."
    limit = "" if threshold is None else f" (the threshold is {threshold:.0%})"
    if row.genre is not None:
        return f"Called {row.genre}, at {row.confidence or 0:.0%} confidence{limit}."
    return f"Given no genre: {row.estimate_reason or row.abstain}{limit}."


def _facts(row: TrackRow) -> None:
    st.subheader("The file")
    facts = {
        "genre in the file": " · ".join(row.file_genres) or "none",
        "note": row.note,
        "kind": row.container or "unknown",
        "size": f"{row.size_bytes / 1e6:.1f} MB",
        "length": clock(row.duration_s),
        "listened to": clock(row.analysed_s) if row.analysed_s is not None else "not yet",
        "beat": "" if row.tempo_strength is None else f"{row.tempo_strength:.2f} of 1",
        "loudness": "" if row.loudness_lufs is None else f"about {row.loudness_lufs:.1f} LUFS",
        "loudness range": "" if row.loudness_range_lu is None else f"{row.loudness_range_lu:.1f} LU",
        "model": row.model_id or "none",
        "path": display(row.path),
        "scanned in": display(row.root),
        "audio digest": row.digest.hex() if row.digest else "none",
    }
    table = pd.DataFrame([(name, value) for name, value in facts.items() if value], columns=["what", "value"])
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "what": st.column_config.TextColumn("What", width=130),
            "value": st.column_config.TextColumn("Value", width="large"),
        },
    )


@st.cache_data(max_entries=50, show_spinner="Comparing …")
def _alike(_store: Store, state: tuple[int, ...], track_id: int, model_id: str) -> list[tuple[int, float]]:
    """What sounds most like a track, remembered until the database changes."""
    analysis = _store.analysis(track_id)
    if analysis is None or not len(analysis.embedding):
        return []
    return nearest_in(_store, model_id, analysis.embedding, but=track_id)[0]


def _neighbours(desk: frame.Desk, row: TrackRow) -> None:
    analysis = desk.store.analysis(row.id)
    if row.model_id is None or analysis is None or not len(analysis.embedding):
        return
    st.subheader("Sounds like")
    near = _alike(desk.store, desk.state, row.id, row.model_id)
    if not near:
        st.caption("Nothing else in the library sounds like it.")
        return
    similarity = dict(near)
    rows = queries.tracks_by_id(desk.store, [track for track, _ in near])
    rows["similarity"] = [similarity[i] for i in rows["id"]]
    picked = tables.short(rows, key=f"near {row.id}", extra=["similarity"])
    if picked is not None and (chosen := desk.store.track(picked)) is not None:
        with st.container(border=True):
            heading(chosen)
            frame.play(chosen)
            if st.button("Go to this track", icon=":material/arrow_forward:", key=f"go to {picked}"):
                _go_to(picked)


def _history(desk: frame.Desk, row: TrackRow) -> None:
    edits = desk.store.edits_of_track(row.id)
    st.subheader("History of its genre")
    if message := st.session_state.pop("track message", ""):
        st.text(message)
    if not edits:
        st.caption("Nothing was ever written to this file.")
        return
    st.dataframe(
        edit_table(edits),
        hide_index=True,
        column_config={"when": st.column_config.DatetimeColumn("When", format="YYYY-MM-DD HH:mm")},
    )
    last = next((edit for edit in edits if edit.state == "done"), None)
    if last is None:
        return
    if not desk.may_write:
        st.caption("To undo here, start with `tagger dashboard --allow-write`.")
    elif st.button("Undo the last change", icon=":material/undo:", key=f"undo {last.id}"):  # this one alone
        st.session_state["track message"] = _undo(desk, last)
        st.rerun()


def _undo(desk: frame.Desk, edit: EditRow) -> str:
    said = ""

    def work() -> None:
        nonlocal said
        outcome = corrections.take_back(desk.config, edit.id)
        done = outcome.status is Status.TAGGED
        said = "The former genre was put back." if done else f"Not put back: {outcome.reason}"

    return frame.attempt(work) or said


def edit_table(edits: Sequence[EditRow]) -> pd.DataFrame:
    """Changes of a file's genre: when, before, after, state, run."""
    rows = [
        {
            "when": local_time(edit.intended_ns),
            "before": " · ".join(edit.edit.before.names) or "no genre",
            "after": " · ".join(edit.edit.after.names) or "no genre",
            "state": edit.state if edit.undoes is None else f"{edit.state} (an undo)",
            "run": edit.run_id,
        }
        for edit in edits
    ]
    return pd.DataFrame(rows)
