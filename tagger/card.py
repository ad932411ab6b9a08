"""The card of a model bundle: what ``card.json`` says, read strictly. Needs no LiteRT.

A bundle is a folder with a weights file and this card. Nothing in it is code, and whatever does not fit is
refused with a sentence of its own before any audio is opened.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from tagger.errors import ModelError
from tagger.feature_config import FeatureConfig
from tagger.tracks import display

CARD_FILE = "card.json"
FORMAT = 1
"""Version of the card's format that this program reads and writes."""

_FIELDS = {
    "format",
    "name",
    "version",
    "genres",
    "outputs",
    "features",
    "fingerprint",
    "weights",
    "calibration",
    "decision",
    "metrics",
    "training",
    "licence",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights file of a bundle: its plain name, the SHA-256 of its bytes in hexadecimal, its size."""

    file: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits become probabilities that are right as often as they say."""

    temperature: float
    """The logits are divided by it before the softmax (Guo et al. 2017, "On calibration of modern neural
    networks")."""
    method: Literal["temperature"] = "temperature"


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When a genre is given at all."""

    threshold: float
    """Least confidence, 0-1."""
    margin: float
    """Least lead of the best genre over the second, 0-1."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model says about itself."""

    name: str
    version: str
    genres: tuple[str, ...]
    """Labels in the order of the outputs."""
    outputs: Literal["logits", "probabilities"]
    features: FeatureConfig
    weights: Weights
    calibration: Calibration
    decision: DecisionRule
    metrics: Mapping[str, Any]
    """Measured figures, each with its split and number of tracks."""
    training: Mapping[str, Any]
    """Data, recipe, seed."""
    licence: str

    @property
    def model_id(self) -> str:
        """``name@version``: what a row of the database remembers."""
        return f"{self.name}@{self.version}"

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the features the model was trained on."""
        return self.features.fingerprint()

    def to_dict(self) -> dict[str, Any]:
        """The card as it stands in ``card.json``."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "genres": list(self.genres),
            "outputs": self.outputs,
            "features": self.features.to_dict(),
            "fingerprint": self.fingerprint,
            "weights": asdict(self.weights),
            "calibration": asdict(self.calibration),
            "decision": asdict(self.decision),
            "metrics": dict(self.metrics),
            "training": dict(self.training),
            "licence": self.licence,
        }


class _Reader:
    """Takes values of the right kind from a card, or refuses it."""

    def __init__(self, where: str, table: Mapping[str, Any]) -> None:
        self._where, self._table = where, table

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"the model card {self._where} {why}; install the model again")

    def text(self, name: str) -> str:
        value = self._table[name]
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(f"has no text for {name!r}")
        return value

    def section(self, name: str, keys: set[str] | None = None) -> dict[str, Any]:
        value = self._table[name]
        if not isinstance(value, dict):
            raise self.refuse(f"has no section {name!r}")
        if keys is not None and set(value) != keys:
            raise self.refuse(f"must say {', '.join(sorted(keys))} under {name!r}, and no more")
        return value

    def number(self, section: str, name: str, low: float, high: float) -> float:
        value = self._table[section][name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.refuse(f"has no number for {section}.{name}")
        if not low <= value <= high:
            raise self.refuse(f"has {section}.{name} = {value}, outside of {low} to {high}")
        return float(value)


def _table(path: Path, where: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"there is no model in {display(os.fsencode(path.parent))}: {CARD_FILE} is missing"
        ) from None
    except UnicodeDecodeError:
        raise ModelError(
            f"the model card {where} is damaged: it is not UTF-8 text; install the model again"
        ) from None
    except OSError as error:
        raise ModelError(f"the model card {where} cannot be read: {error.strerror}") from None
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = (
            error.msg
            if isinstance(error, json.JSONDecodeError)
            else "it is nested too deeply or has bad numbers"
        )
        raise ModelError(
            f"the model card {where} is damaged: not JSON ({reason}); install the model again"
        ) from None
    if not isinstance(table, dict):
        raise ModelError(f"the model card {where} is damaged: it holds no table; install the model again")
    return table


def read_card(directory: str | Path) -> ModelCard:
    """Read and check a bundle's card. The weights are not opened.

    Parameters
    ----------
    directory : str or Path
        The bundle.

    Raises
    ------
    ModelError
        The card is missing, is not JSON, has another format version, lacks or adds a field, names a genre
        twice, or was made for features that this program does not compute.
    """
    path = Path(directory) / CARD_FILE
    where = display(os.fsencode(path))
    table = _table(path, where)
    read = _Reader(where, table)
    version = table.get("format")
    if type(version) is not int or version != FORMAT:
        raise ModelError(
            f"the model card {where} has the format version {version!r} and this program reads {FORMAT}: "
            "install the version of tagger that the model was made for"
        )
    if missing := sorted(_FIELDS - set(table)):
        raise read.refuse(f"says nothing about {', '.join(missing)}")
    if extra := sorted(set(table) - _FIELDS):
        raise read.refuse(f"has fields this program does not know: {', '.join(extra)}")
    genres = table["genres"]
    if (
        not isinstance(genres, list)
        or len(genres) < 2
        or not all(isinstance(g, str) and g.strip() for g in genres)
    ):
        raise read.refuse("must list at least two genres by name")
    if twice := sorted({g for g in genres if genres.count(g) > 1}):
        raise read.refuse(f"names a genre twice: {', '.join(twice)}")
    outputs = read.text("outputs")
    if outputs not in ("logits", "probabilities"):
        raise read.refuse(f"calls the outputs {outputs!r}: they are logits or probabilities")
    features = FeatureConfig.from_dict(read.section("features"))
    if read.text("fingerprint") != features.fingerprint():
        raise ModelError(
            f"the model in {display(os.fsencode(path.parent))} was made for other features (fingerprint "
            f"{table['fingerprint']}, not {features.fingerprint()}): install the model of this version"
        )
    weights = read.section("weights", {"file", "sha256", "size_bytes"})
    file, digest, size = weights["file"], weights["sha256"], weights["size_bytes"]
    if not isinstance(file, str) or Path(file).name != file or file in ("", ".", "..") or "\0" in file:
        raise read.refuse("must name a weights file in its own folder")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise read.refuse("has no SHA-256 of the weights")
    if type(size) is not int or size <= 0:
        raise read.refuse("has no size of the weights")
    if read.section("calibration", {"method", "temperature"})["method"] != "temperature":
        raise read.refuse("has a calibration method other than temperature")
    read.section("decision", {"threshold", "margin"})
    return ModelCard(
        name=read.text("name"),
        version=read.text("version"),
        genres=tuple(genres),
        outputs=cast(Literal["logits", "probabilities"], outputs),
        features=features,
        weights=Weights(file, digest, size),
        calibration=Calibration(read.number("calibration", "temperature", 0.01, 100)),
        decision=DecisionRule(
            threshold=read.number("decision", "threshold", 0, 1),
            margin=read.number("decision", "margin", 0, 1),
        ),
        metrics=read.section("metrics"),
        training=read.section("training"),
        licence=read.text("licence"),
    )
