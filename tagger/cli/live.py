"""The command that listens to what is playing: listen."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagger.cli.common import EMPTY_NAME, JSON, load_settings, model_dir, settings_options
from tagger.errors import AudioError
from tagger.tracks import display

if TYPE_CHECKING:
    from tagger.live import Moment

_SHOWN = 5
_BAR = 30


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option(
    "--pcm", metavar="FORMAT:RATE:CHANNELS", help="It is raw samples, such as s16le:44100:2; no container."
)
@click.option("--model", metavar="NAME", help="A shipped model, or the path of a model's directory.")
@click.option("--threshold", type=float, metavar="P", help="Least confidence to name a genre, 0-1.")
@JSON
@settings_options
def listen(
    source: str,
    pcm: str | None,
    model: str | None,
    threshold: float | None,
    as_json: bool,
    db: Path | None,
    config: Path | None,
) -> None:
    """Say every 2 seconds what the last 30 seconds of a live SOURCE sound like, until it ends or Ctrl-C.

    SOURCE is - for standard input, a file that is being written, or the http address of a stream: only this
    uses the network. Nothing is remembered.

    Example: tagger listen http://radio.example/stream
    """
    from tagger.learning.heads import judge, memory_of
    from tagger.learning.shelf import chosen_head, heads_dir
    from tagger.live import follow
    from tagger.live.sources import STANDARD_INPUT, is_address, open_source
    from tagger.live.streaming import Pcm
    from tagger.model import load_model

    where = os.fsencode(source)
    if not where:
        raise click.UsageError(EMPTY_NAME)
    if where == STANDARD_INPUT and sys.stdin.isatty():
        raise click.UsageError("Nothing is piped in. Try `arecord -f cd | tagger listen -`.")
    if "://" in source and not is_address(where):
        raise click.UsageError("Only addresses that begin with http:// or https:// can be listened to.")
    settings = load_settings(config, db=db, model=model, threshold=threshold)
    samples = None if pcm is None else Pcm.parse(pcm)
    directory = model_dir(settings.model)
    ear = load_model(directory)
    head, unfit = chosen_head(heads_dir(settings.db), ear.card)
    memory = memory_of(directory, ear.card, head)
    if unfit:
        click.echo(unfit, err=True)
    parents = settings.parents if settings.write_parents else {}
    limits = (settings.threshold, settings.margin)
    moments = follow(
        open_source(where),
        ear,
        lambda heard: judge(
            heard, ear.card, head, memory, threshold=limits[0], margin=limits[1], parents=parents
        ),
        pcm=samples,
    )
    heard_anything = False

    def noted() -> Iterator[Moment]:
        nonlocal heard_anything
        for moment in moments:
            heard_anything = heard_anything or moment.at_s > 0
            yield moment

    try:
        with closing(moments):  # its threads end with it, wherever Ctrl-C comes
            if as_json:
                for moment in noted():
                    click.echo(_line(moment))
            elif sys.stdout.isatty():
                _show_live(noted(), display(where))
            else:
                for moment in noted():
                    click.echo(_sentence(moment))
    except AudioError as error:
        if not heard_anything:
            raise
        click.echo(f"tagger: {error}", err=True)
        sys.exit(1)


def _line(moment: Moment) -> str:
    estimate = moment.estimate
    return json.dumps(
        {
            "at_s": round(moment.at_s, 3),
            "window_s": round(moment.window_s, 3),
            "genre": estimate.genre if estimate else None,
            "confidence": round(estimate.confidence, 4) if estimate else None,
            "reason": estimate.reason if estimate else _quiet(moment),
            "genres": {genre: round(p, 4) for genre, p in estimate.probabilities.items()} if estimate else {},
            "silent_s": round(moment.silent_s, 3),
            "gap_s": round(moment.gap_s, 3),
            "latency_s": round(moment.latency_s, 3),
        }
    )


def _quiet(moment: Moment) -> str:
    """Why nothing is said of the genre."""
    if not moment.at_s:
        return "no sound yet"
    if moment.gap_s:
        return f"nothing has come in for {moment.gap_s:.0f} s"
    return f"silence for {moment.silent_s:.0f} s" if moment.silent_s else "too little sound"


def _clock(moment: Moment) -> str:
    minutes, seconds = divmod(int(moment.at_s), 60)
    return f"{minutes:3}:{seconds:02}"


def _sentence(moment: Moment) -> str:
    """The line for people."""
    estimate = moment.estimate
    if estimate is None:
        return f"{_clock(moment)}  {_quiet(moment)}"
    if estimate.genre is None:
        return f"{_clock(moment)}  no genre: {estimate.reason}"
    return f"{_clock(moment)}  {estimate.genre} {estimate.confidence:.2f}"


def _show_live(moments: Iterator[Moment], name: str) -> None:
    """One picture that changes: the genre, and bars of the likeliest."""
    from rich.live import Live
    from rich.text import Text

    def picture(moment: Moment | None) -> Text:
        if moment is None:
            return Text(f"{name}\nwaiting for sound")
        lines = [name, f"{_sentence(moment)}   (the last {moment.window_s:.0f} s)"]
        probabilities = moment.estimate.probabilities if moment.estimate else {}
        for genre, p in list(probabilities.items())[:_SHOWN]:
            lines.append(f"  {genre[:16]:16} {p:4.2f} {'#' * round(_BAR * p)}")
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    with Live(picture(None), auto_refresh=False) as live:
        for moment in moments:
            live.update(picture(moment), refresh=True)
