"""What people say about tracks: how a genre they name is written, and how it goes when its edit is undone.

A track has one word of a person: a new one, typed or imported, takes the place of the former.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tagger.errors import ConfigError
from tagger.genres import display_name, name_problem
from tagger.store import Store
from tagger.store.rows import EditRow, LabelSource

FORMER = "former_labels"
"""Key in a run's options: what people had said before, by the id of the track."""
GIVEN = "correction"
"""Key in the options of a run of corrections: each set of labels that was given, and the names written."""


def written_name(label: str, names: Mapping[str, str]) -> str:
    """The name a genre has in files: the user's own for a label of the model, else as typed.

    Parameters
    ----------
    label : str
        A label of the model, or a genre of the person's own.
    names : mapping
        The user's names by label (`Config.genres`).

    Raises
    ------
    ConfigError
        It cannot stand in a file as one genre.
    """
    typed = label.strip()
    if problem := name_problem(typed):
        shown = f" {typed[:40]!r}" if typed else ""
        raise ConfigError(f"The genre{shown} {problem}.")
    return display_name(typed, names) or typed


def split_genres(text: str) -> tuple[str, ...]:
    """Genres as people list them, ``"Jazz, Blues"`` or ``"Jazz; Blues"``: neither sign is part of a genre."""
    return tuple(part.strip() for part in text.replace(";", ",").split(","))


def options_of(
    store: Store,
    given: Iterable[tuple[int, Sequence[str], Sequence[str]]],
    source: LabelSource,
) -> dict[str, object]:
    """What a run of corrections must remember, so that undoing it takes back the labels too.

    Parameters
    ----------
    given : iterable of (track id, labels, names written)
        Before the labels are stored.
    """
    former: dict[str, list[list[str]]] = {}
    sets: list[dict[str, str | list[str]]] = []
    for track_id, labels, names in given:
        if said := store.labels_of(track_id):
            former[str(track_id)] = [[label.genre, label.source] for label in said]
        one: dict[str, str | list[str]] = {"labels": list(labels), "written": list(names), "source": source}
        if one not in sets:
            sets.append(one)
    return {GIVEN: sets, FORMER: former}


def take_back_label(store: Store, edit: EditRow) -> None:
    """After an edit was taken back: the label it came with goes too, or comes again with it.

    What a person has said since stays.

    Raises
    ------
    StoreError
        The database cannot be written.
    """
    first, undone = edit, True
    while first.undoes is not None:  # an undo that was taken back: the correction is in force again
        before = store.edit(first.undoes)
        if before is None:
            return
        first, undone = before, not undone
    run = store.run(first.run_id)
    if edit.track_id is None or run is None:
        return
    names = list(first.edit.after.values)
    one = next((one for one in run.options.get(GIVEN, ()) if one["written"] == names), None)
    if one is None:
        return
    given = [(label, one["source"]) for label in one["labels"]]
    former = [(label, source) for label, source in run.options[FORMER].get(str(edit.track_id), ())]
    there, instead = (given, former) if undone else (former, given)
    if {(label.genre, label.source) for label in store.labels_of(edit.track_id)} == set(there):
        source: LabelSource = instead[0][1] if instead else "user"
        store.set_labels(edit.track_id, [label for label, _ in instead], source)
