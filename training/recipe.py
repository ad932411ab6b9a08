"""A recipe: everything that makes a model, read from a TOML file; and the data it names."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.augment import AugmentConfig
from training.dataset import (
    Clips,
    DatasetError,
    Teacher,
    artist_folds,
    clip_keys,
    concatenate,
    read_arrays,
    standardised_logits,
)
from training.network import NetworkConfig

HELD_OUT_FOLDS = 5


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One collection: its array file and its part in each batch."""

    source: str
    arrays: str
    artists: str = ""
    hold_out: str = "split"
    """What is kept from training and measured: ``split`` (the file's valid part), ``artists`` (a fifth of
    them), ``all`` or ``none``."""
    share: float = 1.0
    """Part of each batch, in proportion to the other sources'."""
    soften: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Labels not to be taken at their word: ``{"pop": {"rock": 0.3}}`` adds 0.3 of rock to pop's target."""


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """Outputs of another network for the clips of one source."""

    name: str
    source: str
    file: str
    values: str
    """Array in the file: (n_rows, n_dims) or (n_clips, n_steps, n_dims)."""
    columns: str = ""
    """CSV whose ``index`` column selects some of the dimensions."""
    rows_of: str = ""
    """Array file whose ``track`` the rows follow, where the teacher's own file does not say."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How the weights are found."""

    steps: int = 6000
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 300
    label_smoothing: float = 0.05
    teacher_weight: float = 0.5
    distil_weight: float = 0.5
    """Part of the target that other networks give, where a run is taught by some (`--distil-from`)."""
    none_weight: float = 0.3
    """Weight of clips that are none of the genres; their target is the even distribution."""
    ema: float = 0.999
    """Decay per step of the average of the weights that is kept in the end."""
    epoch_steps: int = 500
    precision: str = "float32"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model's recipe."""

    name: str
    version: str
    genres: tuple[str, ...]
    data: tuple[SourceConfig, ...]
    teachers: tuple[TeacherConfig, ...] = ()
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the model card and for fingerprints of checkpoints."""
        return dataclasses.asdict(self)


def _build(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    names = {f.name for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - names):
        raise DatasetError(f"{where} has settings that do not exist: {', '.join(unknown)}")

    def frozen(value: Any) -> Any:
        return tuple(frozen(v) for v in value) if isinstance(value, list) else value

    try:
        return kind(**{name: frozen(value) for name, value in values.items()})
    except TypeError as error:
        raise DatasetError(f"{where} is incomplete: {error}") from None


def read_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : Path
    overrides : mapping, optional
        ``{"train.steps": 100}``: settings of the sections ``network``, ``augment`` and ``train`` to replace.

    Raises
    ------
    DatasetError
        The file cannot be read, or a setting is unknown or missing.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DatasetError(f"the recipe {path} cannot be read: {error}") from None
    for name, value in (overrides or {}).items():
        section, _, key = name.partition(".")
        if not key:
            raise DatasetError(f"{name} names no setting: write it as train.steps")
        table.setdefault(section, {})[key] = value
    table["data"] = tuple(_build(SourceConfig, row, f"{path} [[data]]") for row in table.get("data", ()))
    table["teachers"] = tuple(
        _build(TeacherConfig, row, f"{path} [[teachers]]") for row in table.get("teachers", ())
    )
    for section, kind in (("network", NetworkConfig), ("augment", AugmentConfig), ("train", TrainConfig)):
        table[section] = _build(kind, table.get(section, {}), f"{path} [{section}]")
    recipe: Recipe = _build(Recipe, table, str(path))
    if not recipe.data:
        raise DatasetError(f"{path} names no data")
    return recipe


def load_clips(recipe: Recipe, data_dir: Path) -> Clips:
    """All clips that a recipe names, one source after the other."""
    return concatenate(
        [
            read_arrays(
                data_dir / d.arrays,
                source=d.source,
                genres=recipe.genres,
                artists=data_dir / d.artists if d.artists else None,
            )
            for d in recipe.data
        ]
    )


def held_out(recipe: Recipe, clips: Clips) -> NDArray[np.bool_]:
    """Which clips the recipe keeps from training, (n,)."""
    rows = np.zeros(len(clips), dtype=np.bool_)
    for config in recipe.data:
        here = clips.source == config.source
        match config.hold_out:
            case "split":
                rows |= here & (clips.split == "valid")
            case "artists":
                rows[here] = artist_folds(clips.artist[here], clips.genre[here], HELD_OUT_FOLDS, seed=0) == 0
            case "all":
                rows |= here
            case "none":
                pass
            case other:
                raise DatasetError(f"hold_out = {other!r} is none of split, artists, all and none")
    return rows


def load_teachers(recipe: Recipe, data_dir: Path, clips: Clips) -> dict[str, Teacher]:
    """What the recipe's teachers say about `clips`: name to outputs, standardised over all clips they know.

    Teachers of one name (for several sources) are standardised together and make one head.
    """
    names = dict.fromkeys(t.name for t in recipe.teachers)
    return {name: _teacher([t for t in recipe.teachers if t.name == name], data_dir, clips) for name in names}


def _teacher(configs: list[TeacherConfig], data_dir: Path, clips: Clips) -> Teacher:
    series: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for config in configs:
        with np.load(data_dir / config.file, allow_pickle=False) as stored:
            values = stored[config.values]
            tracks = stored["track"] if "track" in stored.files else None
        if tracks is None:
            with np.load(data_dir / config.rows_of, allow_pickle=False) as stored:
                tracks = stored["track"]
        if config.columns:
            import pandas as pd

            values = values[..., pd.read_csv(data_dir / config.columns)["index"].to_numpy()]
        if values.ndim == 2:  # one row a step: put the steps of a track together
            starts = np.flatnonzero(np.r_[True, tracks[1:] != tracks[:-1]])
            grouped = np.split(values, starts[1:])
            tracks = tracks[starts]
        else:
            grouped = list(values)
        seen: dict[str, int] = {}
        for track, steps in zip(tracks, grouped, strict=True):
            k = seen.get(str(track), 0)
            seen[str(track)] = k + 1
            series[f"{config.source}/{track}/{k}"] = steps
    n_steps = min(len(steps) for steps in series.values())
    keys = clip_keys(clips)
    known = np.array([key in series for key in keys])
    if not known.any():
        raise DatasetError(f"the teacher {configs[0].name} knows none of the clips")
    some = np.stack([series[key][:n_steps] for key in keys if key in series])
    rows = np.zeros((len(clips), *some.shape[1:]), dtype=np.float32)
    rows[known] = standardised_logits(some)
    return Teacher(rows, known)
