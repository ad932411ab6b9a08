"""The commands around a collection's own genres: learn, and models, which chooses among what was learnt."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import (
    JSON,
    load_settings,
    model_dir,
    open_for_reading,
    print_table,
    settings_options,
)

if TYPE_CHECKING:
    from tagger.lessons import Lessons
    from tagger.verdict import Report

NAME = "mine"
MIN_TRACKS = 5
SHOWN_CONFUSIONS = 8
SHOWN_SPELLINGS = 3


@click.command()
@click.option("--from-tags", is_flag=True, help="Learn from the genres in the files, too.")
@click.option(
    "--min-tracks", type=click.IntRange(min=2), default=MIN_TRACKS, show_default=True, metavar="N",
    help="Leave out genres of fewer tracks.",
)  # fmt: skip
@click.option("--only-mine", is_flag=True, help="Forget the model's own genres: know those learnt alone.")
@click.option("--name", default=NAME, show_default=True, help="Name of the head.")
@click.option("--force", is_flag=True, help="Use it even if it is no better than what is in use.")
@click.option("-n", "--dry-run", is_flag=True, help="Show everything, save nothing.")
@click.option("--model", metavar="NAME", help="The model to stand on: a shipped one, or a directory.")
@JSON
@settings_options
def learn(
    from_tags: bool, min_tracks: int, only_mine: bool, name: str, force: bool, dry_run: bool,
    model: str | None, as_json: bool, db: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Learn your genres from what you said of tracks: corrections, imports, and tags where wanted.

    No audio is decoded: what was heard is in the database. What was learnt is put to use only where it is
    right more often on your own labels than what is in use now; exit code 1 says that it is not.

    Example: tagger learn --from-tags --dry-run
    """
    # Before numpy is there: such small matrices go faster on one thread, far faster on a busy machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tagger.headfile import check_name, save_head
    from tagger.job import run_lock
    from tagger.lessons import gather
    from tagger.model import load_model
    from tagger.pooling import pooled_dims
    from tagger.reference import read_reference
    from tagger.shelf import choices, choose_head, chosen_head, heads_dir
    from tagger.teach import teach

    check_name(name)
    settings = load_settings(config, db=db, model=model)
    directory = model_dir(settings.model)
    loaded = load_model(directory)
    n_dims = pooled_dims(loaded.n_dims)
    with open_for_reading(settings) as store:
        lessons = gather(
            store, loaded.card, n_dims, settings.genres, from_tags=from_tags, min_tracks=min_tracks
        )
    if not as_json:
        _show_lessons(lessons)
    shelf = heads_dir(settings.db)
    in_use, unfit = chosen_head(shelf, loaded.card)
    reference = read_reference(directory, loaded.card)
    head, report = teach(lessons, loaded.card, reference, in_use, name=name, only_mine=only_mine)
    if not as_json:
        if unfit:
            click.echo(unfit, err=True)
        _show_report(report)
    saved = ""
    if not dry_run and (report.adopt or force):
        with run_lock(settings.db):
            head = save_head(shelf, head)
            choose_head(shelf, [*choices(shelf), head.card.head_id])
        saved = head.card.head_id
    if as_json:
        taught = [asdict(one) for one in lessons.taught]
        facts: dict[str, Any] = {"head": saved or None, "genres": list(head.card.genres), "found": taught}
        click.echo(json.dumps(facts | {"report": report.as_dict()}))
    elif saved:
        click.echo(f"\n{saved} is in use from now on. `tagger write --mode own` writes what it says, without "
                   "listening again; `tagger models back` goes back.")  # fmt: skip
    elif dry_run:
        click.echo("\nNothing was saved.")
    else:
        click.echo("\nNothing was saved; --force saves and uses it all the same.")
    sys.exit(0 if saved or dry_run else 1)


def _show_lessons(lessons: Lessons) -> None:
    if lessons.taught:
        print_table(
            ["genre", "said", "in files", "artists", "", "spelled"],
            (
                (
                    one.genre,
                    one.n_people,
                    one.n_tags,
                    one.n_artists,
                    f"not learnt: {one.why_not}" if one.why_not else "",
                    ", ".join(one.spellings[:SHOWN_SPELLINGS])
                    + (" …" if len(one.spellings) > SHOWN_SPELLINGS else ""),
                )
                for one in lessons.taught
            ),
            right=[1, 2, 3],
        )
    if lessons.n_unheard:
        click.echo(f"{lessons.n_unheard:,} more were not heard by this model: `tagger scan` listens.")
    if lessons.n_stale:
        click.echo(
            f"{lessons.n_stale:,} more were heard by an earlier version of this program: "
            "`tagger scan --stale` listens again."
        )


def _show_report(report: Report) -> None:
    click.echo(f"\nOn your {report.n:,} tracks by {report.n_groups:,} artists, each judged while its artist "
               "was left out:\n")  # fmt: skip
    print_table(
        ["genre", "tracks", "found", "right", ""],
        (
            (
                score.genre,
                score.n,
                f"{score.recall:.2f}",
                "-" if score.precision is None else f"{score.precision:.2f}",
                "new" if score.new else "",
            )
            for score in report.genres
        ),
        right=[1, 2, 3],
    )
    click.echo(f"\nRight when forced to guess: {report.accuracy:.2f}; {report.in_use}: "
               f"{report.in_use_accuracy:.2f}")  # fmt: skip
    right = "" if report.precision is None else f", right on {report.precision:.2f} of them"
    click.echo(f"Gives a genre to {report.coverage:.2f} of them{right} (threshold {report.threshold:.2f})")
    click.echo(f"Confidence and share right differ by {report.calibration_error:.2f} on average")
    if report.n_old:
        click.echo(f"Of the model's own music {report.old_lost:.1%} goes over to new genres")
    if report.confused:
        confused = ", ".join(f"{a} as {b} ({n})" for a, b, n in report.confused[:SHOWN_CONFUSIONS])
        click.echo(f"Taken for one another: {confused}")
    click.echo(f"\n{report.verdict}")


@click.group(invoke_without_command=True)
@JSON
@settings_options
@click.pass_context
def models(context: click.Context, as_json: bool, db: Path | None, config: Path | None) -> None:
    """The models that come with the program, the heads you taught, and which are in use (marked *).

    \b
    tagger models use mine@2      decide with the second version of the head `mine`
    tagger models use base        decide without a head
    tagger models back            take up the choice before
    tagger models remove mine@1   delete one
    """
    settings = load_settings(config, db=db)
    context.obj = settings
    if context.invoked_subcommand is not None:
        return
    from tagger.errors import ModelError
    from tagger.headfile import BASE
    from tagger.model import read_card, shipped_models
    from tagger.shelf import choices, heads_dir, list_heads

    used = settings.model
    cards = {name: read_card(model_dir(name)) for name in shipped_models()}
    if used not in cards:
        cards[used] = read_card(model_dir(used))
    shelf = heads_dir(settings.db)
    chosen = (choices(shelf) or [BASE])[-1]
    heads = list_heads(shelf)
    bad = [str(head) for head in heads if isinstance(head, ModelError)]
    good = [head for head in heads if not isinstance(head, ModelError)]
    if as_json:
        lines: list[dict[str, Any]] = [
            {"name": name, "id": card.model_id, "genres": list(card.genres), "used": name == used,
             "metrics": dict(card.metrics)}
            for name, card in cards.items()
        ] + [
            {"name": head.name, "id": head.head_id, "genres": list(head.genres),
             "used": head.head_id == chosen, "metrics": dict(head.metrics), "base": head.base}
            for head in good
        ]  # fmt: skip
        for line in lines:
            click.echo(json.dumps(line))
    else:
        rows = [
            ("*" if name == used else "", card.model_id, f"{card.weights.size_bytes / 1e6:.2f} MB",
             f"{card.decision.threshold:.2f}", ", ".join(card.genres))
            for name, card in cards.items()
        ] + [
            ("*" if head.head_id == chosen else "", head.head_id, f"on {head.base}",
             f"{head.threshold:.2f}", ", ".join(head.genres))
            for head in good
        ]  # fmt: skip
        print_table(["", "model", "size", "threshold", "genres"], rows, right=[2, 3])
    for sentence in bad:
        click.echo(sentence, err=True)


@models.command()
@click.argument("head", metavar="NAME[@VERSION]")
@click.pass_context
def use(context: click.Context, head: str) -> None:
    """Decide with this head from now on; `base` for none."""
    from tagger.errors import ModelError
    from tagger.headfile import BASE, read_head
    from tagger.job import run_lock
    from tagger.shelf import choices, choose_head, find_head, head_folder, heads_dir

    shelf = heads_dir(context.obj.db)
    wanted = BASE if head == BASE else find_head(shelf, head)
    if wanted != BASE:
        read_head(head_folder(shelf, wanted))
    with run_lock(context.obj.db):
        try:
            history = choices(shelf)
        except ModelError:  # damaged: this choice is the first
            history = []
        choose_head(shelf, [*history, wanted])
    _say_used(wanted)


@models.command()
@click.pass_context
def back(context: click.Context) -> None:
    """Take up the choice before."""
    from tagger.headfile import BASE
    from tagger.job import run_lock
    from tagger.shelf import choices, choose_head, heads_dir

    shelf = heads_dir(context.obj.db)
    with run_lock(context.obj.db):
        history = choices(shelf)[:-1]
        choose_head(shelf, history)
    _say_used((history or [BASE])[-1])


@models.command()
@click.argument("head", metavar="NAME@VERSION")
@click.pass_context
def remove(context: click.Context, head: str) -> None:
    """Delete one version of a head. If it is in use, the choice before is taken up."""
    from tagger.headfile import BASE
    from tagger.job import run_lock
    from tagger.shelf import choices, find_head, heads_dir, remove_head

    if "@" not in head:
        raise click.UsageError(f"Which version? `tagger models` lists them; write {head}@1, say.")
    shelf = heads_dir(context.obj.db)
    head_id = find_head(shelf, head)
    with run_lock(context.obj.db):
        remove_head(shelf, head_id)
    _say_used((choices(shelf) or [BASE])[-1])


def _say_used(head: str) -> None:
    who = "The model itself decides" if head == "base" else f"{head} decides"
    click.echo(f"{who} from now on; `tagger write --mode own` writes it, without listening again.")
