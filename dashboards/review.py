"""The review page: one track after another, the most instructive first, judged by keyboard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import streamlit as st
from streamlit.navigation.page import Page

from dashboards import corrections, frame, track, trackcharts
from dashboards.frame import plain
from tagger import review as worklist
from tagger.errors import ConfigError
from tagger.export import BOM, csv_line
from tagger.labels import written_name
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tracks import display

_MANY = 200
_SAYS = {
    "everything": "To decide",
    "uncertain": "Uncertain",
    "disagreeing": "Disagreeing",
    "failed": "Failed",
}


@dataclass(slots=True)
class Session:
    """The tracks of a review and what was said about each so far."""

    ids: list[int]
    at: int = 0
    said: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Track to what was done (accepted, corrected, skipped) and the genre."""
    message: str = ""


def page() -> None:
    """Show the page."""
    with frame.desk() as desk:
        st.title("Review")
        open_ = _counts(desk.store, desk.state, _parents(desk))
        kind = st.segmented_control(
            "What to review",
            list(worklist.KINDS),
            format_func=lambda k: f"{_SAYS[k]} {open_[k]:,}",
            default="everything",
            key="kind",
            required=True,
            label_visibility="collapsed",
            bind="query-params",
        )
        session = _session(desk, kind or "everything")
        _progress(desk, session)
        if session.message:
            st.text(session.message)
        row = _next(desk, session)
        if row is None:
            failed = kind == "everything" and open_["failed"]
            st.success(
                "All done here, but for those under Failed."
                if failed
                else "All done here. Nothing more to review of this kind.",
                icon=":material/task_alt:",
            )
            _take_away(desk, session)
            return
        _show(desk, session, row)
        _take_away(desk, session)


def as_page() -> Page:
    """For the navigation."""
    return st.Page(page, title="Review", icon=":material/rule:", url_path="review")


@st.cache_data(max_entries=4, show_spinner=False)
def _counts(_store: Store, state: tuple[int, ...], parents: worklist.Lineage) -> dict[str, int]:
    return worklist.counts(_store, parents)


@st.cache_data(max_entries=8, show_spinner="Looking for the most instructive tracks …")
def _worklist(_store: Store, state: tuple[int, ...], kind: str, parents: worklist.Lineage) -> list[int]:
    return worklist.worklist(_store, kind, limit=_MANY, parents=parents)


def _parents(desk: frame.Desk) -> worklist.Lineage:
    return worklist.lineage(desk.config.parents)


def _session(desk: frame.Desk, kind: str) -> Session:
    """The list is made once: what is corrected meanwhile does not reorder it."""
    key = f"review of {kind}"
    if key not in st.session_state:
        st.session_state[key] = Session(_worklist(desk.store, desk.state, kind, _parents(desk)))
    session: Session = st.session_state[key]
    return session


def _next(desk: frame.Desk, session: Session) -> TrackRow | None:
    while session.at < len(session.ids):
        row = desk.store.track(session.ids[session.at])
        if row is not None:
            return row
        session.at += 1
    return None


def _progress(desk: frame.Desk, session: Session) -> None:
    if not session.ids:
        return
    done = Counter(what for what, _ in session.said.values())
    counted = ", ".join(f"{n} {what}" for what, n in done.items()) or "nothing judged yet"
    st.progress(session.at / len(session.ids), text=f"{session.at} of {len(session.ids)}: {counted}")
    if not desk.may_write:
        st.caption(
            "Read-only: your judgements stay in this session, to be taken away as a list. "
            "`tagger dashboard --allow-write` stores them and writes them into the files."
        )


def _show(desk: frame.Desk, session: Session, row: TrackRow) -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        track.heading(row)
        frame.play(row, autoplay=st.session_state.get("autoplay", False))
        st.text(f"In the file: {' · '.join(row.file_genres) or 'no genre'}")
        st.text(worklist.why(row, _parents(desk)))
    with right:
        card = frame.card_of(row.model_id, desk.config)
        threshold = frame.threshold_in_force(desk.config, card)
        if row.probabilities:
            st.altair_chart(
                trackcharts.top_genres(row.probabilities, threshold=threshold, n=5),
                alt="Most probable genres",
            )
    into_file = False
    with st.container(horizontal=True):
        if desk.may_write:
            into_file = st.toggle("Write into the file too", value=True, key="into_file")
        st.toggle("Play at once", key="autoplay")
        st.page_link(
            track.as_page(),
            label="More about it",
            icon=":material/graphic_eq:",
            query_params={"id": str(row.id)},
        )
    _answers(desk, session, row, into_file=into_file)


def _answers(desk: frame.Desk, session: Session, row: TrackRow, *, into_file: bool) -> None:
    """The buttons. Each key holds the track and the genre: a second press in haste says nothing of the next
    track, nor one that meets another run's opinion."""
    best = row.genre or next(iter(row.probabilities), None)
    with st.container(horizontal=True):
        if best and st.button(
            f"{plain(best.capitalize())} is right",
            type="primary",
            shortcut="A",
            icon=":material/check:",
            key=f"right {row.id} {best}",
        ):
            _judge(desk, session, row, "accepted", best, into_file=into_file)
        if row.file_genres and st.button(
            "The file is right",
            shortcut="F",
            icon=":material/sell:",
            key=f"file {row.id} {row.file_genres[0]}",
        ):
            # The file has it already: only the label is stored.
            _judge(desk, session, row, "accepted", row.file_genres[0], into_file=False)
        if st.button("Skip", shortcut="S", icon=":material/skip_next:", key=f"skip {row.id}"):
            _judge(desk, session, row, "skipped", "", into_file=False)
        if session.at and st.button("Back", shortcut="B", icon=":material/undo:", key=f"back {row.id}"):
            session.at -= 1
            session.message = ""
            st.rerun()
    st.caption("No, it is …")
    card = frame.card_of(row.model_id, desk.config) or frame.current_card(desk.config)
    genres = [genre for genre in (card.genres if card else ()) if genre != best]
    genres.sort(key=lambda genre: -row.probabilities.get(genre, 0.0))  # the likeliest under the first keys
    with st.container(horizontal=True):
        for number, genre in enumerate(genres, start=1):
            shortcut = str(number % 10) if number <= 10 else None
            if st.button(plain(genre), shortcut=shortcut, key=f"{genre} {row.id}"):
                _judge(desk, session, row, "corrected", genre, into_file=into_file)
    with (
        st.form(f"other {row.id}", clear_on_submit=True, border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        typed = st.text_input("or something else", max_chars=60, width=260)
        if st.form_submit_button("Correct") and (typed or "").strip():
            _judge(desk, session, row, "corrected", (typed or "").strip(), into_file=into_file)


def _judge(
    desk: frame.Desk, session: Session, row: TrackRow, what: str, genre: str, *, into_file: bool
) -> None:
    """Keep a judgement and, where writing is allowed, store it; then go on to the next track."""
    session.message = ""
    if genre:
        try:
            written_name(genre, desk.config.genres)
        except ConfigError as error:
            session.message = str(error)
            st.rerun()
    if genre and desk.may_write:
        said = ""

        def work() -> None:
            nonlocal said
            outcome = corrections.correct(desk.config, row.id, genre, into_file=into_file)
            if outcome.status.is_failure:
                said = f"Stored, but not written into the file: {outcome.reason}"

        refused = frame.attempt(work)
        if refused:
            session.message = f"Not stored: {refused}"
            st.rerun()
        session.message = said
    session.said[row.id] = (what, genre)
    session.at += 1
    st.rerun()


def _take_away(desk: frame.Desk, session: Session) -> None:
    judged = {track_id: genre for track_id, (_, genre) in session.said.items() if genre}
    if not judged or desk.may_write:
        return
    rows = desk.store.tracks_of(list(judged))
    lines = [csv_line((display(row.path), judged[row.id])) for row in rows]
    st.download_button(
        f"Take away {len(judged):,} judgements (CSV)",
        b"".join((BOM, csv_line(("path", "genre")), *lines)),
        file_name="judgements.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
