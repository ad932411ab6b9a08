"""What a collection taught and which of it is in use: ``heads/NAME/VERSION/``, ``models/NAME/VERSION/``.

Both lie beside the database; the second holds networks of the person's own (`tagger finetune`).
``heads/chosen.json`` holds the choices made so far among them, the latest last, so that the one before can be
taken up again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tagger.card import ModelCard
from tagger.config import Config, Loaded
from tagger.errors import ModelError
from tagger.learning.headcard import BASE, NAME, HeadCard, read_head_card, versions
from tagger.tracks import display

if TYPE_CHECKING:
    from tagger.learning.heads import Head

_CHOSEN = "chosen.json"


def heads_dir(database: Path) -> Path:
    """Where the heads of a database lie."""
    return database.parent / "heads"


def models_dir(database: Path) -> Path:
    """Where a collection's own networks lie."""
    return database.parent / "models"


def own_models(folder: Path) -> dict[str, Path]:
    """Folders of a collection's own networks by their id, by name and version."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    return {f"{n}@{v}": folder / n / str(v) for n in names for v in versions(folder / n)}


def model_in_use(database: Path) -> Path | None:
    """Folder of the own network that the latest choice is, or stands on; None where that is none of them.

    Raises
    ------
    ModelError
        The choices, or the head chosen last, are damaged.
    """
    history = choices(heads_dir(database))
    own = own_models(models_dir(database))
    if not history or history[-1] == BASE or not own:
        return None
    if history[-1] in own:
        return own[history[-1]]
    return own.get(read_head_card(head_folder(heads_dir(database), history[-1])).base)


def with_own_model(loaded: Loaded, config: Config) -> Config:
    """The settings with the own network that is in use, unless the person has named a model."""
    if loaded.sources["model"] != "default" or config.model != loaded.config.model:
        return config
    try:
        own = model_in_use(config.db)
    except ModelError:  # whoever needs the head in use meets it as well, and says so
        return config
    return config if own is None else replace(config, model=os.fspath(own.absolute()))


def list_heads(folder: Path) -> list[HeadCard | ModelError]:
    """Cards of all heads by name and version; of a damaged one its refusal."""
    found: list[HeadCard | ModelError] = []
    names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    for name in names:
        for version in versions(folder / name):
            try:
                found.append(read_head_card(folder / name / str(version)))
            except ModelError as error:
                found.append(error)
    return found


def find_head(folder: Path, wanted: str) -> str:
    """The full id of a head: ``NAME`` means its latest version.

    Raises
    ------
    ModelError
        There is none of that name and version.
    """
    name, _, version = wanted.partition("@")
    there = versions(folder / name) if NAME.fullmatch(name) else []
    if there and not version:
        return f"{name}@{there[-1]}"
    if version.isdecimal() and int(version) in there:
        return f"{name}@{int(version)}"
    known = ", ".join(card.head_id for card in list_heads(folder) if isinstance(card, HeadCard))
    raise ModelError(f"there is no head {wanted!r}: there is {known or 'none; `tagger learn` makes one'}")


def find(database: Path, wanted: str) -> str:
    """The full id of a head or of an own network: ``NAME`` means its latest version.

    Raises
    ------
    ModelError
        There is none of that name and version.
    """
    own = own_models(models_dir(database))
    name, _, version = wanted.partition("@")
    if version and wanted in own:
        return wanted
    of_name = [one for one in own if one.partition("@")[0] == name]
    if of_name and not version:
        return of_name[-1]
    return find_head(heads_dir(database), wanted)


def head_folder(folder: Path, head_id: str) -> Path:
    """The bundle of a head by its full id."""
    name, _, version = head_id.partition("@")
    return folder / name / version


def choices(folder: Path) -> list[str]:
    """Choices made so far, the latest last; `BASE` for none.

    Raises
    ------
    ModelError
        The file that holds them is damaged.
    """
    try:
        found = json.loads((folder / _CHOSEN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ModelError(
            f"{display(os.fsencode(folder / _CHOSEN))}, which says which head is in use, is damaged: "
            "choose one with `tagger models use`"
        )
    return found


def choose_head(folder: Path, history: Sequence[str]) -> None:
    """Set the choices made so far; the last is in use.

    Raises
    ------
    ModelError
        They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".chosen-", delete=False) as file:
            json.dump(list(history), file)
        os.replace(file.name, folder / _CHOSEN)
    except OSError as error:
        raise ModelError(
            f"the choice cannot be saved in {display(os.fsencode(folder))}: {error.strerror}"
        ) from None


def remove_taught(database: Path, taught: str) -> None:
    """Delete a head or an own network, and take it out of the choices: the one before is in use again.

    The heads that stand on an own network are kept; they say what they need when they are chosen.
    """
    folder = heads_dir(database)
    choose_head(folder, [one for one in choices(folder) if one != taught])
    own = own_models(models_dir(database))
    shutil.rmtree(own.get(taught) or head_folder(folder, taught))


def chosen_head(folder: Path, card: ModelCard) -> tuple[Head | None, str]:
    """The head in use, and a sentence for the person where it cannot be used with this base model.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    history = choices(folder)
    if not history or history[-1] in (BASE, card.model_id):
        return None, ""
    if history[-1] in own_models(folder.with_name("models")):
        return None, f"{history[-1]} was chosen, but the settings name {card.model_id}, which is used."
    from tagger.learning.headfile import read_head  # mostly none is chosen, and numpy is not needed

    head = read_head(head_folder(folder, history[-1]))
    same = (head.card.base, head.card.base_sha256) == (card.model_id, card.weights.sha256)
    if same and (head.kept < len(card.genres)).all():
        return head, ""
    return None, (
        f"The head {head.card.head_id} was learnt on {head.card.base} and is not used with {card.model_id}; "
        "`tagger learn` learns it again."
    )
