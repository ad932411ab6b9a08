"""Which tracks a command is about: the options that `ls` and `export` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tagger.cli.common import BYTES_PATHS, absolute
from tagger.tracks import Status

if TYPE_CHECKING:
    from tagger.store import Store, TrackRow

F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """PATH…, the conditions, the order and the limit."""
    for option in (
        click.option("--limit", type=click.IntRange(min=1), help="At most so many."),
        click.option(
            "--sort",
            type=click.Choice(["path", "artist", "album", "title", "genre", "confidence", "-confidence"]),
            default="path",
            show_default=True,
        ),
        click.option("--missing", is_flag=True, help="Only tracks that are gone from their folder."),
        click.option("-t", "--text", default="", help="Words in title, artist, album or path."),
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


def selected(store: Store, asked: Mapping[str, Any]) -> Iterator[TrackRow]:
    """The tracks that the values of `filter_options` ask for, each once.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    from tagger.store import TrackFilter

    ids: dict[int, None] = {}
    for folder in absolute(asked["paths"]) or (None,):
        which = TrackFilter(
            text=asked["text"],
            genre=asked["genre"],
            status=None if asked["status_name"] is None else Status(asked["status_name"]),
            min_confidence=asked["min_confidence"],
            max_confidence=asked["max_confidence"],
            folder=folder,
            missing=asked["missing"],
        )
        ids.update(dict.fromkeys(store.track_ids(which, order=asked["sort"])))
    return store.tracks_of(list(ids)[: asked["limit"]])
