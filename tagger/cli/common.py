"""What the commands share: options, opening the configuration, the database and the model, tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tagger.places import canonical, is_inside, prefix
from tagger.tracks import Outcome, display

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.store import Store

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
BYTES_PATHS = click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=bytes))
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")

_LIBRARY = "tagger.library"


def settings_options(command: F) -> F:
    """`--db` and `--config`, the same everywhere."""
    command = click.option("--config", type=FILE, help="Configuration file instead of the usual one.")(
        command
    )
    # Not a parameter of the commands: `load_settings` asks for it.
    command = click.option(
        "--library", metavar="NAME", expose_value=False, callback=_choose_library, help="One of the "
        "libraries of the configuration.",
    )(command)  # fmt: skip
    return click.option("--db", type=FILE, help="Database instead of the usual one.")(command)


def _choose_library(context: click.Context, _option: click.Parameter, name: str | None) -> None:
    context.meta[_LIBRARY] = name or ""


def library_chosen() -> str:
    """The library named with `--library`, or empty."""
    context = click.get_current_context(silent=True)
    return "" if context is None else context.meta.get(_LIBRARY, "")


def load_settings(config: Path | None, **given: object) -> Config:
    """Defaults, a model of the collection's own, configuration file, environment, then the options given."""
    from tagger.config import load

    loaded = load(config, os.environ, library_chosen())
    settings = loaded.config.with_options(**given)
    if not (settings.db.parent / "models").is_dir():
        return settings
    from tagger.learning.shelf import with_own_model

    return with_own_model(loaded, settings)


def absolute(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """Full paths with links in the folders resolved: one file has one name in the database."""
    return tuple(map(canonical, paths))


def open_for_reading(settings: Config) -> Store:
    """The database, read-only.

    Raises
    ------
    StoreError
        It cannot be read, or does not exist yet.
    """
    from tagger.errors import StoreError
    from tagger.store import Store

    if not settings.db.exists():
        raise StoreError(f"There is no database at {settings.db} yet; `tagger run FOLDER` makes it.")
    return Store.open(settings.db, read_only=True)


def model_dir(name: str) -> Path:
    """Directory of the model a setting names: a shipped one, or a path."""
    from tagger.bundle import shipped_model_dir

    return Path(name) if os.sep in name else shipped_model_dir(name)


def outcome_json(outcome: Outcome) -> str:
    """The line of `--json` for one track. A path that is not UTF-8 holds surrogate escapes (PEP 383)."""
    return json.dumps(
        {
            "path": os.fsdecode(outcome.path),
            "status": outcome.status.value,
            "reason": outcome.reason,
            "genre": outcome.genre,
            "confidence": None if outcome.confidence is None else round(outcome.confidence, 4),
            "genres": {genre: round(p, 4) for genre, p in outcome.genres.items()},
            "before": list(outcome.before),
            "after": list(outcome.after),
        }
    )


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()
) -> None:
    """A plain table as wide as the terminal; the last column is cut. `right`: the columns to align right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, header in enumerate(headers):
        last = place == len(headers) - 1
        table.add_column(
            header, justify="right" if place in right else "left", no_wrap=True, overflow="ellipsis",
            ratio=1 if last else None, min_width=8 if last else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    piped = not sys.stdout.isatty()
    Console(highlight=False, soft_wrap=False, width=200 if piped else None).print(table)


def shown(path: bytes, roots: Sequence[bytes] = ()) -> str:
    """A path for people: relative to the root it lies under."""
    for root in roots:
        if is_inside(path, root):
            return display(path[len(prefix(root)) :])
    return display(path)
