"""Which tracks a command is about: paths that may be asked for, the options that `ls` and `export` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tagger.cli.common import BYTES_PATHS, COUNT, absolute
from tagger.tracks import Status

if TYPE_CHECKING:
    from tagger.store import Store, TrackRow

F = TypeVar("F", bound=Callable[..., Any])

_ABOUT = 0.02
"""A single tempo means this much of itself more or less."""


def tempo_option(command: F) -> F:
    """``--tempo``: the slowest and the fastest in beats a minute, either None; or None."""
    return click.option(
        "--tempo", metavar="BPM", callback=_tempo_range, help="Beats a minute: 120-130, 120-, -130 or 128."
    )(command)


def _tempo_range(
    _context: click.Context, _param: click.Parameter, value: str | None
) -> tuple[float | None, float | None] | None:
    if value is None:
        return None
    slowest, dash, fastest = value.partition("-")
    try:
        low, high = (float(text) if text.strip() else None for text in (slowest, fastest))
    except ValueError:
        low = high = None
    if not dash and low is not None:
        low, high = low * (1 - _ABOUT), low * (1 + _ABOUT)
    given = [number for number in (low, high) if number is not None]
    if not given or not all(0 <= number < float("inf") for number in given) or given != sorted(given):
        raise click.BadParameter(f"{value!r} is no tempo: write it like 120-130, 120-, -130 or 128.")
    return low, high


def filter_options(command: F) -> F:
    """PATH…, the conditions, the order and the limit."""
    for option in (
        click.option("--limit", type=COUNT, help="At most so many."),
        click.option(
            "--sort",
            type=click.Choice(
                ["path", "artist", "album", "title", "genre", "confidence", "-confidence", "tempo", "-tempo"]
            ),
            default="path",
            show_default=True,
        ),
        click.option("--missing", is_flag=True, help="Only tracks that are gone from their folder."),
        click.option("-t", "--text", default="", help="Words in title, artist, album or path."),
        tempo_option,
        click.option("--max-confidence", type=click.FloatRange(0, 1)),
        click.option("--min-confidence", type=click.FloatRange(0, 1)),
        click.option(
            "-s", "--status", "status_name", type=click.Choice([s.value for s in Status]), metavar="STATUS",
            help="How the track ended its run.",
        ),
        click.option("-g", "--genre", help="The model's genre."),
        BYTES_PATHS,
    ):  # fmt: skip
        command = option(command)
    return command


def known_paths(store: Store, paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """The paths a person named, in full.

    Raises
    ------
    TaggerError
        One is not there, and no track is known there: a slip, which is not to be answered with nothing.
    StoreError
        The database cannot be read.
    """
    from tagger.errors import TaggerError
    from tagger.gone import nowhere

    full = absolute(paths)
    for path in full:
        if sentence := nowhere(store, path):
            raise TaggerError(sentence)
    return full


def selected(store: Store, asked: Mapping[str, Any]) -> Iterator[TrackRow]:
    """The tracks that the values of `filter_options` ask for, each once.

    Raises
    ------
    TaggerError
        See `known_paths`.
    StoreError
        The database cannot be read.
    """
    from tagger.store import TrackFilter

    slowest, fastest = asked["tempo"] or (None, None)
    ids: dict[int, None] = {}
    for folder in known_paths(store, asked["paths"]) or (None,):
        which = TrackFilter(
            text=asked["text"],
            genre=asked["genre"],
            status=None if asked["status_name"] is None else Status(asked["status_name"]),
            min_confidence=asked["min_confidence"],
            max_confidence=asked["max_confidence"],
            min_tempo=slowest,
            max_tempo=fastest,
            folder=folder,
            missing=asked["missing"],
        )
        found = store.track_ids(which, order=asked["sort"], limit=asked["limit"])
        ids.update(dict.fromkeys(found))
    return store.tracks_of(list(ids)[: asked["limit"]])
