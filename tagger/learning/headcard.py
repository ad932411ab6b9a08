"""What a head says about itself: ``card.json`` in its bundle, read strictly; and who it is that decides.

None of this needs the head's arrays, or numpy: see `tagger.learning.headfile` and `tagger.learning.heads`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tagger.card import CARD_FILE, ModelCard
from tagger.errors import ModelError
from tagger.tracks import display

FORMAT = 1
BASE = "base"
"""The name under which a person chooses to do without a head."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_AGAIN = "learn it again, or choose another with `tagger models use`"


@dataclass(frozen=True, slots=True)
class HeadCard:
    """What a head says about itself."""

    name: str
    version: int
    genres: tuple[str, ...]
    """The base model's kept ones first, in its order."""
    n_kept: int
    """How many of `genres` the base model knows as well."""
    base: str
    """Id of the base model."""
    base_sha256: str
    n_dims: int
    temperature: float
    threshold: float
    blend: float
    """Share of the base model's word in telling its own genres apart, 0-1."""
    farthest: float
    """A track farther than this from the music learnt from is none of the genres."""
    created: str
    sha256: str
    """Of the weights file."""
    labels: Mapping[str, int]
    """Labels learnt from, by genre."""
    metrics: Mapping[str, Any]
    """Figures measured out of fold, when it was learnt."""

    @property
    def head_id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def key(self) -> str:
        """What a decision depends on: the head and its very weights."""
        return f"{self.head_id}/{self.sha256[:16]}"


_FIELDS = {field.name for field in fields(HeadCard)} | {"format"}


def check_name(name: str) -> str:
    """A name that a folder can have on any system.

    Raises
    ------
    ModelError
        It is not one.
    """
    if not NAME.fullmatch(name) or name.lower() == BASE:
        raise ModelError(
            f"{name!r} cannot be the name of a head: use letters, digits, '-' and '_', 40 at most, "
            f"and not {BASE!r}"
        )
    return name


def refusal(folder: Path, why: str) -> ModelError:
    """Why a head cannot be used, and what to do."""
    return ModelError(f"the head in {display(os.fsencode(folder))} {why}; {_AGAIN}")


def versions(folder: Path) -> list[int]:
    """The versions in the folder of one head, the latest last."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir())


def read_head_card(folder: Path) -> HeadCard:
    """Read and check a head's card; its weights are not opened.

    Raises
    ------
    ModelError
        It is missing, damaged, of another format, or says what cannot be.
    """
    try:
        table = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"there is no head in {display(os.fsencode(folder))}") from None
    except OSError as error:
        raise refusal(folder, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise refusal(folder, "has a damaged card") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise refusal(folder, f"has a card of another format than {FORMAT}")
    if wrong := sorted(set(table) ^ _FIELDS):
        raise refusal(folder, f"has a card that does not fit this program: {', '.join(wrong)}")
    del table["format"]
    genres = table["genres"]
    if not isinstance(genres, list) or len(genres) < 2 or not all(isinstance(g, str) and g for g in genres):
        raise refusal(folder, "must know two genres at least")
    if len(set(genres)) != len(genres):
        raise refusal(folder, "names a genre twice")
    for name, kind in {"version": int, "n_kept": int, "n_dims": int, "name": str, "base": str,
                       "base_sha256": str, "created": str, "sha256": str, "labels": dict,
                       "metrics": dict}.items():  # fmt: skip
        if type(table[name]) is not kind:
            raise refusal(folder, f"says nothing of use under {name!r}")
    limits = {"temperature": (0.01, 100), "threshold": (0, 1), "blend": (0, 1), "farthest": (0, 1e6)}
    for name, (low, high) in limits.items():
        value = table[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high:
            raise refusal(folder, f"has no number from {low} to {high} for {name!r}")
    if not 0 <= table["n_kept"] <= len(genres) or table["n_dims"] < 1:
        raise refusal(folder, "has sizes that cannot be")
    return HeadCard(**{**table, "genres": tuple(genres)})


def judge_id(card: ModelCard, head: HeadCard | None) -> str:
    """Who decides, and by what memory: part of the key under which a decision is remembered."""
    if head is not None:
        return f"{card.model_id}+{head.key}"
    reference = card.training.get("reference")
    if not isinstance(reference, dict) or not reference.get("n_nonmusic"):
        return card.model_id
    return f"{card.model_id}~{str(reference.get('sha256'))[:16]}"


def judge_name(model_id: str, head: HeadCard | None) -> str:
    """Who decides, for people: ``"eleven@3"``, ``"mine@1 on eleven@3"``."""
    return model_id if head is None else f"{head.head_id} on {model_id}"
