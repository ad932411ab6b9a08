"""What every page stands on: settings, the open database, friendly pages for trouble, the player."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import streamlit as st

from dashboards import filters, listening
from tagger.bundle import shipped_model_dir, shipped_models
from tagger.card import ModelCard, read_card
from tagger.config import Config, load
from tagger.errors import ModelError, StoreError, TaggerError
from tagger.learning.heads import Head
from tagger.learning.shelf import chosen_head, heads_dir, with_own_model
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tracks import display

WRITE_VARIABLE = "DASHBOARD_ALLOW_WRITE"
"""Set by `tagger dashboard --allow-write`; the other settings are the program's own."""

_BUSY_S = 3.0

# Less empty space above, and titles of tracks as titles: what comes from files is only ever shown as plain
# text, which has no size of its own.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.5rem; padding-bottom: 3rem; }
[class*="st-key-title-"] [data-testid="stText"] { font-size: 1.6rem; font-weight: 600; line-height: 1.3; }
</style>"""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a page works with."""

    store: Store
    config: Config
    may_write: bool
    state: tuple[int, ...]
    """Changes when the database does: the key of everything that is remembered about it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a genre is given, 0-1."""

    threshold: float
    margin: float


def style() -> None:
    """The little that the theme leaves to be said."""
    st.html(_STYLE)


def settings() -> Config:
    """The program's settings; `tagger dashboard` hands its options on in the environment.

    Raises
    ------
    ConfigError
        They are not right.
    """
    loaded = load(None, os.environ)
    return with_own_model(loaded, loaded.config)


def limits(config: Config, card: ModelCard, head: Head | None = None) -> Limits:
    """The user's own limits, else those of who decides."""
    decider = card.decision if head is None else head.card
    return Limits(
        decider.threshold if config.threshold is None else config.threshold,
        card.decision.margin if config.margin is None else config.margin,
    )


def threshold_in_force(config: Config, card: ModelCard | None) -> float | None:
    """The threshold for what a model heard: the user's own, else that of the head in use, or its own."""
    if config.threshold is not None or card is None:
        return config.threshold
    return limits(config, card, head_in_use(config, card)).threshold


def head_in_use(config: Config, card: ModelCard) -> Head | None:
    """What decides in a model's place; None where the model does."""
    try:
        return chosen_head(heads_dir(config.db), card)[0]
    except ModelError:  # the Upload page and `tagger doctor` say so
        return None


@contextmanager
def desk(*, needs_tracks: bool = True) -> Iterator[Desk]:
    """Open the database for one run of a page; where that cannot be, say why and what to do, and stop.

    Parameters
    ----------
    needs_tracks : bool
        Show a page for beginners where the database holds no tracks.
    """
    try:
        config = settings()
    except TaggerError as error:
        trouble("The configuration is not right", str(error))
    style()
    try:
        with Store.open(config.db, read_only=True, busy_timeout_s=_BUSY_S) as store:
            filters.prepare(store)
            for notice in store.notices:
                st.text(notice)
            if needs_tracks and not store.query("SELECT 1 FROM tracks LIMIT 1"):
                beginners(config.db, made=True)
            yield Desk(store, config, bool(os.environ.get(WRITE_VARIABLE)), state_of(config.db))
    except StoreError as error:
        if not config.db.exists():
            beginners(config.db, made=False)
        trouble("The database cannot be shown", str(error))


def beginners(db: Path, *, made: bool) -> NoReturn:
    """What to do before there is anything to see; stops the page."""
    st.title("Nothing to show yet")
    where = display(os.fsencode(db))
    st.text(f"The database {where} holds no tracks." if made else f"There is no database at {where} yet.")
    st.write("Let the program listen to a folder of music, first without writing anything:")
    st.code("tagger scan ~/Music", language="bash")
    st.write("or have it fill in the missing genres as well:")
    st.code("tagger run ~/Music", language="bash")
    st.write("This page shows the tracks as soon as the first are heard.")
    st.button("Look again", type="primary")
    st.stop()


def trouble(title: str, message: str) -> NoReturn:
    """Say what is wrong, in the program's own words, and stop the page."""
    st.title(title)
    with st.container(border=True):
        st.text(message)
    st.write("The music files are not affected. For a closer look:")
    st.code("tagger doctor", language="bash")
    st.button("Try again", type="primary")
    st.stop()


@st.cache_data(ttl=10, show_spinner=False)  # during a run it changes many times a second
def state_of(db: Path) -> tuple[int, ...]:
    """Sizes and times of the database and its log."""
    found: list[int] = []
    for name in (db, db.with_name(db.name + "-wal")):
        try:
            status = name.stat()
            found += [status.st_size, status.st_mtime_ns]
        except OSError:
            found += [0, 0]
    return tuple(found)


def model_directory(name: str) -> Path:
    """Folder of the model that a setting names.

    Raises
    ------
    ModelError
        There is no such model.
    """
    return Path(name) if os.sep in name else shipped_model_dir(name)


@st.cache_data(ttl=60, show_spinner=False)
def installed_cards(configured: str) -> dict[str, tuple[str, ModelCard]]:
    """Cards of the shipped and the configured models by id, with their folder; bad ones left out."""
    found: dict[str, tuple[str, ModelCard]] = {}
    for name in (configured, *shipped_models()):
        try:
            directory = model_directory(name)
            card = read_card(directory)
        except ModelError:
            continue
        found.setdefault(card.model_id, (str(directory), card))
    return found


def card_of(model_id: str | None, config: Config) -> ModelCard | None:
    """Card of the model of that id, None where it is not installed."""
    found = installed_cards(config.model).get(model_id or "")
    return None if found is None else found[1]


def current_card(config: Config) -> ModelCard | None:
    """Card of the configured model, None where it cannot be read."""
    try:
        return read_card(model_directory(config.model))
    except ModelError:
        return None


@st.cache_data(max_entries=6, show_spinner="Preparing the sound …")
def _sound(_row: TrackRow, identity: tuple[object, ...]) -> listening.Playable:
    return listening.playable(_row)


def play(row: TrackRow, *, start_s: float = 0, autoplay: bool = False) -> None:
    """A player for a track of the database, or a sentence why there is none."""
    try:
        sound = _sound(row, (row.id, row.path, row.root, row.size_bytes, row.mtime_ns, row.missing_since_ns))
    except TaggerError as error:
        st.text(f"Cannot be played: {error}")
        return
    st.audio(sound.data, format=sound.mime, start_time=start_s, autoplay=autoplay)
    if sound.note:
        st.caption(sound.note)


def forget() -> None:
    """Drop what is remembered about the database, after it was written."""
    st.cache_data.clear()


def attempt(work: Callable[[], object]) -> str:
    """Do something that may be refused; the sentence why it was, empty where it was done."""
    try:
        work()
    except TaggerError as error:
        return str(error)
    finally:
        forget()
    return ""


def plain(text: str) -> str:
    """Text for places where Streamlit reads Markdown: every sign that means something there is escaped."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~$:&^=@\"'/" else c for c in text)
