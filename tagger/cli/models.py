"""The command models: which networks and heads there are, and which of them is in use."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from tagger.cli.common import (
    JSON,
    library_option,
    load_settings,
    model_dir,
    print_table,
    settings_options,
)


@click.group(invoke_without_command=True)
@JSON
@settings_options
@click.pass_context
def models(context: click.Context, as_json: bool, db: Path | None, config: Path | None) -> None:
    """The models that come with the program, those you taught, and which are in use (marked *).

    \b
    tagger models use mine@2      decide with the second version of the head `mine`
    tagger models use base        the shipped model, without a head
    tagger models back            take up the choice before
    tagger models remove mine@1   delete one
    """
    context.obj = partial(load_settings, config, db=db)  # not now: a command below may name the library
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(config, db=db)
    from tagger.bundle import shipped_models
    from tagger.card import read_card
    from tagger.errors import ModelError
    from tagger.learning.headcard import BASE
    from tagger.learning.shelf import choices, heads_dir, list_heads, models_dir, own_models

    used = settings.model
    cards = {name: read_card(model_dir(name)) for name in shipped_models()}
    bad = []
    for folder in own_models(models_dir(settings.db)).values():
        try:
            cards[str(folder.absolute())] = read_card(folder)
        except ModelError as error:
            bad.append(str(error))
    if used not in cards:
        cards[used] = read_card(model_dir(used))
    shelf = heads_dir(settings.db)
    chosen = (choices(shelf) or [BASE])[-1]
    heads = list_heads(shelf)
    bad += [str(head) for head in heads if isinstance(head, ModelError)]
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
@library_option
@click.pass_context
def use(context: click.Context, head: str) -> None:
    """Decide with this head, or listen with this network of yours, from now on; `base` for neither."""
    from tagger.errors import ModelError
    from tagger.job import run_lock
    from tagger.learning.headcard import BASE
    from tagger.learning.headfile import read_head
    from tagger.learning.shelf import (
        choices,
        choose_head,
        find,
        head_folder,
        heads_dir,
        models_dir,
        own_models,
    )
    from tagger.model import load_model

    db = context.obj().db
    shelf = heads_dir(db)
    own = own_models(models_dir(db))
    before = _ear(db)
    wanted = BASE if head == BASE else find(db, head)
    if wanted in own:
        load_model(own[wanted])
    elif wanted != BASE:
        read_head(head_folder(shelf, wanted))
    with run_lock(db):
        try:
            history = choices(shelf)
        except ModelError:  # damaged: this choice is the first
            history = []
        choose_head(shelf, [*history, wanted])
    _say_used(db, before)


@models.command()
@library_option
@click.pass_context
def back(context: click.Context) -> None:
    """Take up the choice before."""
    from tagger.job import run_lock
    from tagger.learning.shelf import choices, choose_head, heads_dir

    db = context.obj().db
    shelf, before = heads_dir(db), _ear(db)
    with run_lock(db):
        choose_head(shelf, choices(shelf)[:-1])
    _say_used(db, before)


@models.command()
@click.argument("head", metavar="NAME@VERSION")
@library_option
@click.pass_context
def remove(context: click.Context, head: str) -> None:
    """Delete a version of a head or network of yours. If it is in use, the choice before is taken up."""
    from tagger.job import run_lock
    from tagger.learning.shelf import find, remove_taught

    if "@" not in head:
        raise click.UsageError(f"Which version? `tagger models` lists them; write {head}@1, say.")
    db = context.obj().db
    wanted, before = find(db, head), _ear(db)
    with run_lock(db):
        remove_taught(db, wanted)
    _say_used(db, before)


def _ear(database: Path) -> Path | None:
    """The own network that listens, None for the shipped one."""
    from tagger.errors import ModelError
    from tagger.learning.shelf import model_in_use

    try:
        return model_in_use(database)
    except ModelError:  # damaged, which the command is about to mend or to say
        return None


def _say_used(database: Path, before: Path | None) -> None:
    from tagger.learning.headcard import BASE
    from tagger.learning.shelf import choices, heads_dir

    last = (choices(heads_dir(database)) or [BASE])[-1]
    who = "The model itself" if last == BASE else last
    if _ear(database) != before:
        click.echo(f"{who} listens from now on; `tagger run --stale` hears with it what another heard.")
    else:
        click.echo(
            f"{who} decides from now on; `tagger write --mode own` writes it, without listening again."
        )
