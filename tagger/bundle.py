"""Where the shipped models lie, and whether a bundle of card and weights is whole.

Needs neither LiteRT nor numpy: see `tagger.model`.
"""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from pathlib import Path

from tagger.card import CARD_FILE, ModelCard, read_card
from tagger.errors import ModelError
from tagger.tracks import display

DEFAULT_MODEL = "eleven"


def shipped_models() -> list[str]:
    """Names of the models that come with the program."""
    return sorted(card.parent.name for card in _models_dir().glob(f"*/{CARD_FILE}"))


def _models_dir() -> Path:
    return Path(str(resources.files("tagger"))) / "models"


def shipped_model_dir(name: str = DEFAULT_MODEL) -> Path:
    """Folder of a model that comes with the program.

    Raises
    ------
    ModelError
        There is no shipped model of that name.
    """
    if name not in (known := shipped_models()):
        raise ModelError(
            f"no model called {name!r} comes with this program: there is {', '.join(known) or 'none'}"
        )
    return _models_dir() / name


def check_model(directory: str | Path) -> ModelCard:
    """The card of a bundle whose weights are all there and those of the card; LiteRT is not needed for it.

    Parameters
    ----------
    directory : str or Path

    Raises
    ------
    ModelError
        As `read_card`; or the weights are missing, truncated or not those of the card.
    """
    return read_bundle(directory)[0]


def read_bundle(directory: str | Path) -> tuple[ModelCard, bytes]:
    """Card and weights of a bundle, the weights being those of the card.

    Raises
    ------
    ModelError
        As `check_model`.
    """
    card = read_card(directory)
    path = Path(directory) / card.weights.file
    where = display(os.fsencode(path))
    try:
        weights = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"the model's weights {where} are missing; install the model again") from None
    except OSError as error:
        raise ModelError(f"the model's weights {where} cannot be read: {error.strerror}") from None
    if len(weights) != card.weights.size_bytes:
        raise ModelError(
            f"the model's weights {where} are truncated or of another model: {len(weights)} bytes and not "
            f"{card.weights.size_bytes}; install the model again"
        )
    if hashlib.sha256(weights).hexdigest() != card.weights.sha256:
        raise ModelError(
            f"the model's weights {where} were changed: their SHA-256 is not the card's; "
            "install the model again"
        )
    return card, weights
