"""The upload page: what the model hears in files that are dropped here. Nothing of them is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import Page

from dashboards import frame, hearing, listening, pictures, track, trackcharts
from tagger.card import ModelCard, read_card
from tagger.config import Config
from tagger.errors import AudioError, TaggerError
from tagger.learning.heads import Head, Memory, judge, memory_of
from tagger.learning.shelf import chosen_head, heads_dir
from tagger.plan import WritePolicy, plan_edit, policy_of
from tagger.tracks import FileTags, GenreEstimate, GenreState, Heard, TrackAnalysis, display

MAX_MB = 100
MAX_FILES = 10
MAX_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Listened:
    """What became of an uploaded file: a report with its sound and picture, or a sentence."""

    heard: Heard | None = None
    sound: listening.Playable | None = None
    picture: str = ""
    picture_s: float = 0.0
    problem: str = ""


def page() -> None:
    """Show the page. It needs no database."""
    frame.style()
    st.title("Upload")
    try:
        config = frame.settings()
        directory = frame.model_directory(config.model)
        card = read_card(directory)
        head, unfit = chosen_head(heads_dir(config.db), card)
        memory = memory_of(directory, card, head)
    except TaggerError as error:
        frame.trouble("There is no model to listen with", str(error))
    if unfit:
        st.text(unfit)
    files = st.file_uploader(
        f"Up to {MAX_FILES} music files of any kind, each of at most {MAX_MB} MB and {MAX_MINUTES} minutes",
        accept_multiple_files=True,
        max_upload_size=MAX_MB,
    )
    st.caption("The files stay in this machine's memory while the page is open; nothing of them is stored.")
    if len(files) > MAX_FILES:
        st.warning(f"Only the first {MAX_FILES} files are listened to.")
    kept: dict[str, Listened] = st.session_state.setdefault("uploads", {})
    for gone in set(kept) - {file.file_id for file in files}:
        del kept[gone]
    for number, file in enumerate(files[:MAX_FILES]):
        with st.container(border=True, key=f"upload-{number}"):
            st.text(display(os.fsencode(file.name)))
            if file.file_id not in kept:
                with st.spinner("Listening …"):
                    kept[file.file_id] = listened(file.getvalue(), str(directory), card)
            _show(kept[file.file_id], card, head, memory, config, key=f"over time {file.file_id}")


def as_page() -> Page:
    """For the navigation."""
    return st.Page(page, title="Upload", icon=":material/upload_file:", url_path="upload")


@contextmanager
def _nameless(data: bytes) -> Iterator[bytes]:
    """Path to a file without a name: whatever happens, it is gone with the last process that has it open."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}".encode()


def listened(data: bytes, model_dir: str, card: ModelCard) -> Listened:
    """Listen to a file's content, whatever it is called."""
    try:
        with _nameless(data) as path:
            length_s = listening.stated_length(path)
            if length_s is not None and length_s > MAX_MINUTES * 60:
                return Listened(problem=f"It is {length_s / 60:.0f} minutes long; {MAX_MINUTES} is the most.")
            heard = hearing.hear(path, model_dir)
            if heard.failure is not None:
                return Listened(problem=_sentence(heard.reason, path))
            if heard.analysis is not None and heard.analysis.analysed_s > MAX_MINUTES * 60:
                return Listened(problem=f"It is longer than {MAX_MINUTES} minutes, which is the most.")
            mel, seconds = listening.mel_of(path, card.features)
            picture = pictures.data_url(pictures.spectrogram_png(mel))
            return Listened(heard, listening.playable_file(path), picture, seconds)
    except AudioError as error:
        return Listened(problem=_sentence(str(error), path))


def _sentence(reason: str, path: bytes) -> str:
    """The reason without the name that the file never had."""
    name = display(path)
    text = reason.removeprefix(f"{name}: ").replace(name, "it")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _show(
    done: Listened,
    card: ModelCard,
    head: Head | None,
    memory: Memory | None,
    config: Config,
    *,
    key: str,
) -> None:
    if done.heard is None or done.heard.analysis is None or done.sound is None:
        st.error("This file cannot be judged.", icon=":material/error:")
        st.text(done.problem)
        return
    analysis: TrackAnalysis = done.heard.analysis
    limits = frame.limits(config, card, head)
    parents = config.parents if config.write_parents else {}
    estimate = judge(
        analysis, card, head, memory, threshold=limits.threshold, margin=limits.margin, parents=parents
    )
    tags = done.heard.tags
    left, right = st.columns([3, 2], gap="large")
    with left:
        if tags is not None and (tags.title or tags.artist):
            st.text(" · ".join(part for part in (tags.title, tags.artist, tags.album) if part))
        st.text(f"In the file: {' · '.join(tags.genres) if tags and tags.genres else 'no genre'}")
        st.text(_verdict(estimate, policy_of(config)))
    with right:
        if estimate.probabilities:
            st.altair_chart(
                trackcharts.top_genres(estimate.probabilities, threshold=limits.threshold, n=5),
                alt="Most probable genres",
            )
    state = st.session_state.get(key)
    points = state["selection"].get("at", []) if state else []
    st.audio(done.sound.data, format=done.sound.mime, start_time=points[0].get("second", 0) if points else 0)
    if done.sound.note:
        st.caption(done.sound.note)
    track.spectrogram(done.picture, done.picture_s, max(analysis.analysed_s, done.picture_s), card.features)
    if len(analysis.activations):
        track.over_time(analysis, card, key=key)


def _verdict(estimate: GenreEstimate, policy: WritePolicy) -> str:
    """What the model says, and what a run would make of it in a file that has no genre."""
    if estimate.genre is None:
        return f"The model gives it no genre: {estimate.reason}."
    said = f"The model calls it {estimate.genre}, at {estimate.confidence:.0%} confidence."
    plan = plan_edit(FileTags("", GenreState(())), estimate, policy, own=None)
    if plan.after is None:
        return f"{said}\nA run would write nothing: the configuration says not to write it."
    return f"{said}\nA run would write: {', '.join(plan.after)}"
