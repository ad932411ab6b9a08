"""The commands that explore what is remembered: review, similar, map."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagger.cli.common import (
    BYTES_FILE,
    COUNT,
    JSON,
    load_settings,
    model_dir,
    open_for_reading,
    print_table,
    settings_options,
    shown,
)
from tagger.cli.filtering import tempo_option
from tagger.cli.report import tracks
from tagger.tracks import display

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tagger.config import Config
    from tagger.store import Store, TrackRow


@click.command()
@click.option("-n", "--number", type=COUNT, default=20, show_default=True, help="At most so many.")
@click.option(
    "--kind",
    type=click.Choice(["everything", "uncertain", "disagreeing", "failed"]),
    default="everything",
    show_default=True,
    help="Not sure of a genre, sure of another one than the file has, or failed.",
)
@JSON
@settings_options
def review(number: int, kind: str, as_json: bool, db: Path | None, config: Path | None) -> None:
    """The tracks whose genre would teach the model most, if you told it.

    The order is that of the dashboard's Review page. Tell it with `tagger correct FILE GENRE`; what you have
    told is not asked again.

    Example: tagger review -n 10
    """
    from tagger.review import counts, lineage, why, worklist

    settings = load_settings(config, db=db)
    parents = lineage(settings.parents)
    with open_for_reading(settings) as store:
        n_open = counts(store, parents)[kind]
        rows = list(store.tracks_of(worklist(store, kind, limit=number, parents=parents)))
    if as_json:
        for row in rows:
            line = {
                "path": os.fsdecode(row.path),
                "guess": next(iter(row.probabilities), None),
                "genre": row.genre,
                "confidence": row.confidence,
                "genres": dict(row.probabilities),
                "file_genres": list(row.file_genres),
                "why": why(row, parents),
            }
            click.echo(json.dumps(line))
        return
    if not rows:
        click.echo("Nothing to review.")
        return
    roots = _roots(rows)
    print_table(
        ["in the file", "first guess", "p", "second", "p", "track"],
        (
            (", ".join(row.file_genres) or "-", *_guesses(row), shown(row.path, roots))
            for row in rows
        ),
        right=[2, 4],
    )  # fmt: skip
    if n_open > len(rows):
        click.echo(f"\nand {n_open - len(rows):,} more (-n)")
    click.echo("\nTo tell what one is: tagger correct FILE GENRE")


@click.command()
@click.argument("file", type=BYTES_FILE, metavar="FILE")
@click.option("-n", "--number", type=COUNT, default=20, show_default=True, help="At most so many.")
@click.option("--m3u8", type=BYTES_FILE, metavar="OUT", help="Write them as a playlist, too.")
@tempo_option
@JSON
@settings_options
def similar(
    file: bytes, number: int, m3u8: bytes | None, tempo: tuple[float | None, float | None] | None,
    as_json: bool, db: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """The tracks of the library that sound most like a file.

    The file need not be in the library: then it is listened to.

    \b
    Example: tagger similar song.mp3 --m3u8 like-it.m3u8
             tagger similar song.mp3 --tempo 120-130
    """
    from tagger.export import playlist_lines, write_file
    from tagger.similar import nearest_in
    from tagger.store import TrackFilter

    if m3u8 is not None and not m3u8.lower().endswith((b".m3u8", b".m3u")):
        raise click.UsageError(f"{display(m3u8)}: give the playlist a name that ends in .m3u8.")
    settings = load_settings(config, db=db)
    left_out: list[bytes] = []
    with open_for_reading(settings) as store:
        own, model_id, embedding = _sound_of(store, os.path.realpath(file), settings)
        # The same recording under another name is no other track.
        n_copies = 0
        if own is not None and own.digest is not None:
            n_copies = store.query("SELECT count(*) FROM tracks WHERE digest = ?", (own.digest,))[0][0]
        among = None
        if tempo is not None:
            among = store.track_ids(TrackFilter(min_tempo=tempo[0], max_tempo=tempo[1]))
        but = None if own is None else own.id
        found, n_skipped = nearest_in(store, model_id, embedding, but=but, k=number + n_copies, among=among)
        near = dict(found)
        rows = [row for row in store.tracks_of(list(near)) if own is None or row.digest != own.digest][
            :number
        ]
        if m3u8 is not None:
            write_file(m3u8, playlist_lines(rows, left_out=left_out.append))
    if n_skipped:
        why = "heard by another version of the program, so they cannot be compared"
        click.echo(f"{tracks(n_skipped)} left out: {why}.", err=True)
    if as_json:
        for row in rows:
            line = {"path": os.fsdecode(row.path), "similarity": round(near[row.id], 4), "genre": row.genre,
                    "tempo_bpm": row.tempo_bpm, "artist": row.artist, "title": row.title}  # fmt: skip
            click.echo(json.dumps(line))
    elif rows:
        roots = _roots(rows)
        print_table(
            ["alike", "genre", "BPM", "track"],
            ((f"{near[row.id]:.2f}", row.genre or "-", _bpm(row), shown(row.path, roots)) for row in rows),
            right=[0, 2],
        )
    else:
        click.echo(f"Nothing in the library, as {model_id} hears it, sounds like it.", err=True)
    if m3u8 is not None:
        click.echo(f"{tracks(len(rows) - len(left_out))} in {display(m3u8)}", err=True)
    sys.exit(1 if left_out else 0)


@click.command("map")
@JSON
@settings_options
def make_map(as_json: bool, db: Path | None, config: Path | None) -> None:
    """Compute the map of the library that the dashboard draws: near means alike to the model.

    Example: tagger map
    """
    from tagger.atlas import make_map as compute
    from tagger.errors import StoreError
    from tagger.job import run_lock
    from tagger.store import Store

    settings = load_settings(config, db=db)
    if not settings.db.exists():
        raise StoreError(f"There is no database at {settings.db} yet; `tagger run FOLDER` makes it.")
    with run_lock(settings.db), Store.open(settings.db) as store:
        state = compute(store)
    if as_json:
        line = {"tracks": state.n_tracks, "model": state.model_id, "left_out": state.n_skipped}
        click.echo(json.dumps(line))
        return
    click.echo(
        f"{tracks(state.n_tracks)} mapped as {state.model_id} hears them; see the dashboard's page Map."
    )
    if state.n_skipped:
        why = "heard by another version of the program: tagger run --stale"
        click.echo(f"{tracks(state.n_skipped)} left out: {why}.", err=True)


def _sound_of(
    store: Store, path: bytes, settings: Config
) -> tuple[TrackRow | None, str, NDArray[np.float32]]:
    """The track, where it is in the library, the model that heard it, and its embedding.

    Raises
    ------
    AudioError
        It has no sound to compare.
    """
    from tagger.errors import AudioError
    from tagger.files import no_such_file

    row = store.find(path)
    if row is not None and row.model_id is not None:
        analysis = store.analysis(row.id)
        if analysis is not None and len(analysis.embedding):
            return row, row.model_id, analysis.embedding
    if reason := no_such_file(path):
        raise AudioError(reason)
    from tagger.classify import listen
    from tagger.model import load_model
    from tagger.tracks import ListenTask

    directory = model_dir(settings.model)
    card = load_model(directory).card
    heard = listen(ListenTask(path, str(directory), time_limit_s=settings.track_limit))
    if heard.analysis is None:
        raise AudioError(heard.reason)
    if not len(heard.analysis.embedding):
        raise AudioError(f"{display(path)}: {heard.analysis.abstain}, so nothing sounds like it.")
    return row, card.model_id, heard.analysis.embedding


def _bpm(row: TrackRow) -> str:
    return "-" if row.tempo_bpm is None else f"{row.tempo_bpm:.0f}"


def _guesses(row: TrackRow) -> tuple[str, str, str, str]:
    best = [*row.probabilities.items()][:2] + [("-", 0.0)] * 2
    (first, p), (second, q) = best[:2]
    return first, f"{p:.2f}", second, f"{q:.2f}"


def _roots(rows: list[TrackRow]) -> list[bytes]:
    return sorted({row.root for row in rows}, key=len, reverse=True)
