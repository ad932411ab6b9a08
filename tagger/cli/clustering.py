"""Options for listening on a Dask cluster, and what they amount to."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tagger.errors import ConfigError

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.job import Cluster

F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(command: F) -> F:
    """Where to listen, if not here."""
    for option in (
        click.option(
            "--map", multiple=True, metavar="HERE=THERE", help="A folder, and its path on the Dask cluster."
        ),
        click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster: tcp://HOST:PORT."),
        click.option(
            "--backend", type=click.Choice(["loky", "dask"]),
            help="Listen in processes here (loky, the default), or on a Dask cluster (extra [dask]).",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def cluster_of(settings: Config) -> Cluster | None:
    """The cluster to listen on, or None to listen here.

    Raises
    ------
    ConfigError
        It has no scheduler, Dask is not installed, or another setting makes no sense there.
    click.UsageError
        Options were given that need another one.
    """
    if settings.backend != "dask":
        given = click.get_current_context().params
        if given.get("scheduler") or given.get("map"):
            raise click.UsageError("--scheduler and --map are for a Dask cluster: say --backend dask, too.")
        return None
    if settings.scheduler is None:
        raise ConfigError(
            "Which Dask cluster? Say --scheduler tcp://HOST:8786, or set scheduler in the configuration."
        )
    if settings.max_load is not None:
        raise ConfigError(
            "max_load looks at the load of this computer, and a Dask cluster listens on others: leave it out "
            "(--nice is for the cluster, too)."
        )
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError("Dask is not installed; `pip install 'tagger[dask]'` installs it.")
    from tagger.job import Cluster

    return Cluster(settings.scheduler, settings.map, settings.nice)
