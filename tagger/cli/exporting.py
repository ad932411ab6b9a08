"""The command that takes lists of tracks along: export."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import BYTES_FILE, load_settings, open_for_reading, settings_options
from tagger.cli.filtering import filter_options, known_paths, selected
from tagger.cli.report import tracks
from tagger.tracks import display

if TYPE_CHECKING:
    from tagger.store import Store, TrackRow

_FORMATS = {b".csv": "csv", b".jsonl": "jsonl", b".json": "jsonl", b".m3u8": "m3u8", b".m3u": "m3u8"}


@click.command()
@filter_options
@click.option("-o", "--output", type=BYTES_FILE, metavar="FILE", help="Instead of the terminal.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "jsonl", "m3u8"]),
    help="By the name of the file, else csv.",
)
@click.option("--relative", is_flag=True, help="Paths in a playlist relative to where it lies.")
@click.option(
    "--per-genre", is_flag=True, help="One file for each genre of the model, in the folder -o names."
)
@settings_options
def export(
    output: bytes | None, kind: str | None, relative: bool, per_genre: bool, db: Path | None,
    config: Path | None, **asked: Any,
) -> None:  # fmt: skip
    """Take a list of tracks along: a table (CSV), JSON lines, or a playlist (M3U8).

    The tracks are chosen as by `tagger ls`. In the CSV, the column genre holds what you said of a track;
    fill it in, and `tagger import` takes it.

    \b
    Example: tagger export --genre jazz --min-confidence 0.8 -o jazz.m3u8
             tagger export --tempo 120-130 --sort tempo -o run.m3u8
             tagger export --per-genre --format m3u8 -o ~/Playlists
    """
    from tagger.export import BOM, write_file

    kind = _kind(output, kind, per_genre=per_genre)
    left_out: list[bytes] = []
    with open_for_reading(load_settings(config, db=db)) as store:
        known_paths(store, asked["paths"])  # before a folder is made
        if per_genre:
            assert output is not None
            _each_genre(store, output, kind, asked, relative=relative, left_out=left_out)
        else:
            folder = os.path.dirname(os.path.realpath(output or b"x")) if relative else None
            counted = _Counted(selected(store, asked))
            lines = _lines(store, counted, kind, folder, left_out)
            if output is None:
                for line in lines:
                    click.echo(line, nl=False)
            else:
                write_file(output, chain([BOM] if kind == "csv" else [], lines))
                n = counted.n - len(left_out)
                click.echo(f"{tracks(n)} in {display(output)}", err=True)
            if not counted.n:
                click.echo("No track answers to that.", err=True)
    for path in left_out:
        click.echo(f"{display(path)}: has a line break in its name, so no playlist can hold it", err=True)
    sys.exit(1 if left_out else 0)


def _kind(output: bytes | None, kind: str | None, *, per_genre: bool) -> str:
    """The format, by the option or the name of the file."""
    if per_genre:
        if output is None:
            raise click.UsageError("Into which folder? --per-genre needs -o FOLDER.")
        return kind or "m3u8"
    if output is None:
        return kind or "csv"
    named = _FORMATS.get(os.path.splitext(output)[1].lower())
    if named is None or kind not in (None, named):
        # A slip must not write over a song.
        ends = {"csv": ".csv", "jsonl": ".jsonl", "m3u8": ".m3u8", None: ".csv, .jsonl or .m3u8"}[kind]
        raise click.UsageError(f"{display(output)}: give the file a name that ends in {ends}.")
    return named


class _Counted:
    """Rows on their way, counted."""

    def __init__(self, rows: Iterable[TrackRow]) -> None:
        self.rows, self.n = rows, 0

    def __iter__(self) -> Iterator[TrackRow]:
        for row in self.rows:
            self.n += 1
            yield row


def _lines(
    store: Store, rows: Iterable[TrackRow], kind: str, folder: bytes | None, left_out: list[bytes]
) -> Iterator[bytes]:
    from tagger.export import csv_lines, json_lines, playlist_lines

    if kind == "m3u8":
        return playlist_lines(rows, relative_to=folder, left_out=left_out.append)
    return (csv_lines if kind == "csv" else json_lines)(rows, store.said())


def _each_genre(
    store: Store, folder: bytes, kind: str, asked: dict[str, Any], *, relative: bool, left_out: list[bytes]
) -> None:
    """A file for each genre that a track has which is asked for."""
    from tagger.errors import ListError
    from tagger.export import BOM, write_file
    from tagger.files import explain
    from tagger.genres import display_name

    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ListError(f"{display(folder)}: cannot be made: {explain(error)}.") from error
    genres: Sequence[str] = [
        genre
        for (genre,) in store.query("SELECT DISTINCT genre FROM tracks WHERE genre IS NOT NULL ORDER BY 1")
    ]
    wanted = None if asked["genre"] is None else asked["genre"].lower()
    n_files = 0
    for genre in genres:
        rows = list(selected(store, {**asked, "genre": genre})) if wanted in (None, genre.lower()) else []
        if not rows:
            continue
        name = (display_name(genre) or genre).replace("/", "_").lstrip(".")
        path = os.path.join(folder, os.fsencode(f"{name}.{kind}"))
        real = os.path.realpath(folder)
        lines = _lines(store, rows, kind, real if relative else None, left_out)
        write_file(path, chain([BOM] if kind == "csv" else [], lines))
        n_files += 1
        click.echo(f"{tracks(len(rows))} in {display(path)}", err=True)
    if not n_files:
        click.echo("No track answers to that.", err=True)
