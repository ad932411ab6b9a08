"""``python -m training``: prepare, train, evaluate, export."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import click

from tagger.errors import TaggerError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greetings; must be set before its import

DATA = click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder that the recipe's file names start from.",
)
RECIPE = click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
RUN = click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))


class _Group(click.Group):
    """Says expected errors in one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TaggerError as error:
            click.echo(str(error), err=True)
            sys.exit(1)


def _settings(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``train.steps=100`` as TOML has it."""
    settings: dict[str, Any] = {}
    for text in values:
        name, _, value = text.partition("=")
        try:
            settings[name] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            raise click.BadParameter(f"{text!r}: write it as train.steps=100") from None
    return settings


def _array_files(named: tuple[str, ...]) -> dict[str, Path]:
    """``NAME=FILE`` as a mapping."""
    return {name: Path(path) for name, _, path in (text.partition("=") for text in named)}


SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="Replace a recipe's setting.",
)


ALSO = click.option(
    "--also", multiple=True, metavar="NAME=FILE", help="A further array file (see prepare) to be measured."
)
THERE = click.Path(path_type=Path, exists=True)


@click.group(cls=_Group)
def main() -> None:
    """Make genre models: arrays from audio, training, honest figures, a bundle for the tagger."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--segments", default=2, show_default=True, help="30-second segments taken of each file.")
def prepare(folder: Path, out: Path, segments: int) -> None:
    """Turn a FOLDER of audio, one sub-folder a genre, into an array file OUT (.npz).

    Example: python -m training prepare ~/gtzan/genres gtzan.npz
    """
    from training.prepare import prepare as make

    n_files, left_out = make(folder, out, max_segments=segments, say=click.echo)
    click.echo(f"{n_files} files in {out}, {len(left_out)} left out")


@main.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--speech", default=360, show_default=True, help="30-second clips of speech (needs espeak-ng).")
@click.option("--noise", default=180, show_default=True, help="And of noises.")
@click.option("--seed", default=0, show_default=True)
def nonmusic(out: Path, speech: int, noise: int, seed: int) -> None:
    """Make an array file OUT (.npz) of sounds that are no music, for a model to call nothing.

    Example: python -m training nonmusic data/nonmusic.npz
    """
    from training.nonmusic import make_nonmusic

    n_clips = make_nonmusic(out, n_speech=speech, n_noise=noise, seed=seed, say=click.echo)
    click.echo(f"{n_clips} clips in {out}")


@main.command()
@RECIPE
@RUN
@DATA
@click.option("--seed", default=0, show_default=True)
@click.option("--all", "everything", is_flag=True, help="Learn from the held-out tracks, too.")
@click.option("--init", type=THERE, help="Network to start from (model.keras).")
@click.option(
    "--distil-from",
    multiple=True,
    metavar="RUN",
    type=THERE,
    help="A finished run whose network teaches this one; any number of them.",
)
@SET
def train(
    recipe_path: Path, folder: Path, data_dir: Path, seed: int, everything: bool, init: Path | None,
    distil_from: tuple[Path, ...], overrides: dict[str, Any],
) -> None:  # fmt: skip
    """Train a network by a RECIPE into the folder RUN, going on where an earlier call stopped.

    Example: python -m training train training/recipes/gtzan.toml runs/gtzan --data data
    """
    from training.recipe import read_recipe
    from training.runs import train_run

    recipe = read_recipe(recipe_path, overrides)
    train_run(recipe, data_dir, folder, seed=seed, everything=everything, init=init, distil_from=distil_from,
              say=click.echo)  # fmt: skip


@main.command()
@RECIPE
@RUN
@DATA
@ALSO
def evaluate(recipe_path: Path, folder: Path, data_dir: Path, also: tuple[str, ...]) -> None:
    """Measure the network in RUN on the tracks its RECIPE holds out; calibrate it on them.

    Example: python -m training evaluate training/recipes/gtzan.toml runs/gtzan --data data
    """
    from training.recipe import read_recipe
    from training.runs import report_run

    report_run(read_recipe(recipe_path), data_dir, folder, extra=_array_files(also), say=click.echo)


@main.command()
@RECIPE
@click.argument("folder", metavar="WORK", type=click.Path(path_type=Path))
@DATA
@click.option("--folds", default=5, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--leaky", is_flag=True, help="Split chunks at random, as tutorials do, to show how much that flatters."
)
@click.option(
    "--init", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="WORK of an earlier cross-validation of the same folds, whose networks are trained on.",
)  # fmt: skip
@ALSO
@SET
def crossvalidate(
    recipe_path: Path, folder: Path, data_dir: Path, folds: int, seed: int, leaky: bool, init: Path | None,
    also: tuple[str, ...], overrides: dict[str, Any],
) -> None:  # fmt: skip
    """Train and measure a RECIPE once per fold of artists, with all files in the folder WORK."""
    from training.folds import crossvalidate as run
    from training.recipe import read_recipe

    recipe = read_recipe(recipe_path, overrides)
    run(recipe, data_dir, folder, n_folds=folds, seed=seed, leaky=leaky, init=init,
        extra=_array_files(also), say=click.echo)  # fmt: skip


@main.command("leave-out")
@click.argument("what", type=click.Choice(["genres", "collections"]))
@RECIPE
@click.argument("folder", metavar="WORK", type=click.Path(path_type=Path))
@DATA
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="Leave out this one; any number of them.")
@ALSO
@SET
def leave_out(
    what: str, recipe_path: Path, folder: Path, data_dir: Path, seed: int, only: tuple[str, ...],
    also: tuple[str, ...], overrides: dict[str, Any],
) -> None:  # fmt: skip
    """Train a RECIPE once without each of its genres or collections, and measure what is made of that one."""
    from training.leave import leave_out as run
    from training.recipe import read_recipe

    recipe = read_recipe(recipe_path, overrides)
    run(recipe, data_dir, folder, what=what, seed=seed, only=only, extra=_array_files(also),
        say=click.echo)  # fmt: skip


@main.command()
@RECIPE
@RUN
@click.argument("directory", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--report", type=click.Path(path_type=Path), help="Run whose report to use (with --all: the other)."
)
@click.option(
    "--seed-run",
    "seeds",
    multiple=True,
    type=THERE,
    help="A measured run with another seed, for the spread.",
)
@click.option("--leaky", type=THERE, help="WORK of `crossvalidate --leaky`.")
@click.option("--left-out", multiple=True, type=THERE, help="WORK of `leave-out`, once for each kind of it.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "dynamic"]),
    default="dynamic",
    show_default=True,
    help="Of the weights; dynamic: 8 bits, multiplied as such.",
)
@click.option("--margin", default=0.0, show_default=True, help="Least lead over the second genre.")
@click.option("--page", type=click.Path(path_type=Path), help="Markdown page to write as well.")
def export(
    recipe_path: Path, folder: Path, directory: Path, report: Path | None, seeds: tuple[Path, ...],
    leaky: Path | None, left_out: tuple[Path, ...], precision: Any, margin: float, page: Path | None,
) -> None:  # fmt: skip
    """Write the network in RUN as a model BUNDLE (a folder) with its card.

    Example: python -m training export training/recipes/gtzan.toml runs/gtzan tagger/models/gtzan
    """
    import json

    from training.bundle import evidence, export_run
    from training.page import page as make_page
    from training.recipe import read_recipe
    from training.runs import RUN_FILE

    figures = evidence(report or folder, seeds, leaky, left_out)
    measured = json.loads(((report or folder) / RUN_FILE).read_text(encoding="utf-8"))
    card, difference = export_run(
        read_recipe(recipe_path), folder, figures, measured, directory, precision=precision, margin=margin,
    )  # fmt: skip
    if page is not None:
        page.write_text(make_page(card, figures), encoding="utf-8")
    click.echo(
        f"{card.model_id}: {card.weights.size_bytes} bytes, LiteRT differs from Keras by {difference:.1e}"
    )


@main.command()
@RECIPE
@click.argument("directory", metavar="BUNDLE", type=click.Path(path_type=Path))
@DATA
def reference(recipe_path: Path, directory: Path, data_dir: Path) -> None:
    """Add to a BUNDLE what its model says of the music it learnt from, for `tagger learn`.

    Example: python -m training reference training/recipes/gtzan.toml tagger/models/gtzan --data DATA
    """
    from training.recipe import read_recipe
    from training.reference import write_reference

    n_tracks = write_reference(read_recipe(recipe_path), data_dir, directory)
    click.echo(f"{directory}: {n_tracks} tracks")


@main.command()
@click.argument("folder", metavar="WORK", type=click.Path(path_type=Path, exists=True, file_okay=False))
def finetune(folder: Path) -> None:
    """Do the job that `tagger finetune` has put into WORK, going on where an earlier call stopped."""
    from training.collection import finetune as tune

    tune(folder, say=click.echo)


if __name__ == "__main__":
    main(prog_name="python -m training")
