"""What the commands share: options, opening the configuration, the database and the model, tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from tagger.places import canonical, is_inside, prefix
from tagger.tracks import Outcome, display

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.store import Store

F = TypeVar("F", bound=Callable[..., Any])

EMPTY_NAME = "An empty name is no file or folder."


class _Name(click.Path):
    """The name of a file or folder. An empty one, of a variable nobody has set, is not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail(EMPTY_NAME, param, ctx)
        return super().convert(value, param, ctx)


FILE = _Name(path_type=Path)
BYTES_FILE = _Name(path_type=bytes)
BYTES_PATHS = click.argument("paths", nargs=-1, metavar="PATH...", type=BYTES_FILE)
COUNT = click.IntRange(1, 10**9)
"""A number that a person may give; the database takes none without end."""
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")

_LIBRARY = "tagger.library"

_NARROWEST = 4
"""What is left of a table's column that must give way, in characters."""
_GAP = 2
"""Between two of them, as rich has it."""
_PIPED_WIDTH = 200


def settings_options(command: F) -> F:
    """`--db`, `--config` and `--library`, the same everywhere."""
    return click.option("--db", type=FILE, help="Database instead of the usual one.")(config_options(command))


def config_options(command: F) -> F:
    """`--config` and `--library`, for what has nothing to do with a database."""
    command = click.option("--config", type=FILE, help="Configuration file instead of the usual one.")(
        command
    )
    return library_option(command)


def library_option(command: F) -> F:
    """`--library`. Not a parameter of the commands: `load_settings` asks for it."""
    return click.option(
        "--library", metavar="NAME", expose_value=False, callback=_choose_library, help="One of the "
        "libraries of the configuration.",
    )(command)  # fmt: skip


def _choose_library(context: click.Context, _option: click.Parameter, name: str | None) -> None:
    if name is not None:  # a command below another may have been given it there
        if not name:
            raise click.BadParameter("An empty name is no library.")
        context.meta[_LIBRARY] = name


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
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[str(cell) for cell in row] for row in rows]
    console = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    natural = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Each width is given: rich would take the same from all of them, until the short ones are gone.
    widths = _fitting(natural, console.width - (len(headers) - 1) * _GAP)
    for place, (header, width) in enumerate(zip(headers, widths, strict=True)):
        justify: Literal["left", "right"] = "right" if place in right else "left"
        table.add_column(header, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _fitting(natural: Sequence[int], room: int) -> list[int]:
    """Widths of columns: the last one gives way, down to a quarter of the room, then the widest of all."""
    *others, last = natural
    widths = [*others, min(last, max(room - sum(others), room // 4, _NARROWEST))]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def shown(path: bytes, roots: Sequence[bytes] = ()) -> str:
    """A path for people: relative to the root it lies under."""
    for root in roots:
        if is_inside(path, root):
            return display(path[len(prefix(root)) :])
    return display(path)
