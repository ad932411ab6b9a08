"""What a collection teaches: people's words about tracks, and on request the genres in their files.

A genre that this program wrote itself is nobody's word, whatever file it is in now: the journal of edits
knows.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.decision import chunk_probabilities
from tagger.genres import display_name, genre_key, name_problem
from tagger.learning.canon import canonical, is_genre
from tagger.learning.hierarchy import leaf, most_specific
from tagger.learning.reference import artist_number
from tagger.store import Store
from tagger.store.columns import (
    activations_from_blob,
    embedding_from_blob,
    names_from_json,
    state_from_json,
)
from tagger.tracks import TrackAnalysis

_NOBODY = frozenset(
    map(genre_key, ("", "various", "various artists", "va", "v.a.", "unknown", "unknown artist"))
)
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Taught:
    """One genre of a collection, and whether it can be learnt."""

    genre: str
    n_people: int
    """Tracks that somebody said it of."""
    n_tags: int
    """Further tracks in whose files it stands."""
    n_artists: int
    spellings: tuple[str, ...]
    """The most frequent first."""
    why_not: str = ""
    """Why it is not learnt; empty where it is."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose a track is, as far as its tags and its place tell; `digest` of its sound in hexadecimal."""

    artist: str
    album: str
    path: bytes
    digest: str

    @property
    def folder(self) -> bytes:
        """Where the file lies."""
        return os.path.dirname(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Labelled and heard tracks of the genres that can be learnt, one row each.

    `embedding` (n, n_dims) float32; `base` (n, n_base_genres) float64, the base model's calibrated means;
    `genre` names of `taught` genres; `group` (n,) uint64 by `whose` they are.
    """

    embedding: NDArray[np.float32]
    base: NDArray[np.float64]
    genre: tuple[str, ...]
    group: NDArray[np.uint64]
    whose: tuple[Whose, ...]
    taught: tuple[Taught, ...]
    n_stale: int
    """Labelled tracks whose embedding is of an earlier version of the program."""
    n_unheard: int
    """Labelled tracks that this base model has not heard."""


def labels_by_key(card: ModelCard, names: Mapping[str, str]) -> dict[str, str]:
    """The base model's labels by the keys of all names they go by: their own, the default, the user's."""
    found = {}
    for label in card.genres:
        for name in (label, display_name(label) or label, names.get(label) or label):
            found[genre_key(name)] = label
            found.setdefault(genre_key(canonical(name)), label)
    return found


def gather(
    store: Store,
    card: ModelCard,
    n_dims: int,
    names: Mapping[str, str],
    *,
    from_tags: bool,
    min_tracks: int,
    parents: Mapping[str, str] = MappingProxyType({}),
) -> Lessons:
    """Everything in the database that teaches a genre.

    Parameters
    ----------
    card : ModelCard
        Of the base model: only what it heard counts.
    n_dims : int
        Length of a pooled embedding.
    names : mapping
        The user's names by label (`Config.genres`).
    from_tags : bool
        The genres in the files, too, where nobody has said anything of a track.
    min_tracks : int
        A genre of fewer tracks is not learnt.
    parents : mapping
        The genre above a genre (`Config.parents`). A track is one of the lowest genre said of it, of a branch
        such as ``"Electronic > House"`` the last.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    every = _said(store)
    people = set(every)
    if from_tags:
        every |= {track: found for track, found in _in_files(store).items() if track not in people}
    above = (*card.genres, *names.values())
    said = {
        track: most_specific([leaf(name, parents, above) for name in found], parents)
        for track, found in every.items()
    }
    known = labels_by_key(card, names)
    spelled: dict[str, Counter[str]] = defaultdict(Counter)
    keys = {}
    for track, name in said.items():
        shown = canonical(name)
        key = genre_key(known.get(genre_key(name)) or known.get(genre_key(shown)) or shown)
        keys[track] = key
        spelled[key][name.strip()] += 1
    titles = {
        key: known.get(key) or canonical(counts.most_common(1)[0][0]) for key, counts in spelled.items()
    }
    rows = list(_heard(store, card, sorted(said)))
    whole = [row for row in rows if len(row[1]) == n_dims]
    size = Counter(keys[row[0]] for row in whole)
    group = groups([row[3] for row in whole])
    artists: dict[str, set[int]] = defaultdict(set)
    for row, number in zip(whole, group, strict=True):
        artists[keys[row[0]]].add(int(number))
    taught = []
    for key, counts in spelled.items():
        tracks = [row[0] for row in whole if keys[row[0]] == key]
        taught.append(
            Taught(
                genre=titles[key],
                n_people=sum(track in people for track in tracks),
                n_tags=sum(track not in people for track in tracks),
                n_artists=len(artists[key]),
                spellings=tuple(name for name, _ in counts.most_common()),
                why_not=_why_not(titles[key], size[key], len(artists[key]), min_tracks),
            )
        )
    used = {genre_key(one.genre) for one in taught if not one.why_not}
    keep = [place for place, row in enumerate(whole) if genre_key(titles[keys[row[0]]]) in used]
    n_base = len(card.genres)
    return Lessons(
        embedding=np.array([whole[i][1] for i in keep], dtype=np.float32).reshape(len(keep), n_dims),
        base=np.array([whole[i][2] for i in keep]).reshape(len(keep), n_base),
        genre=tuple(titles[keys[whole[i][0]]] for i in keep),
        group=group[keep],
        whose=tuple(whole[i][3] for i in keep),
        taught=tuple(sorted(taught, key=lambda one: (-one.n_people - one.n_tags, one.genre))),
        n_stale=len(rows) - len(whole),
        n_unheard=len(said) - len(rows),
    )


def _why_not(genre: str, n_tracks: int, n_artists: int, min_tracks: int) -> str:
    if problem := name_problem(genre):
        return problem
    if n_tracks < min_tracks:
        return f"fewer than {min_tracks} tracks"
    return "all by one artist, or nameless in one folder" if n_artists < 2 else ""


def _said(store: Store) -> dict[int, list[str]]:
    """People's words by track, what was typed before what was imported, in the order it was said: a new word
    takes the place of the former (`Store.set_labels`)."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for track, genre in store.query(
        "SELECT track_id, genre FROM labels WHERE source IN ('user', 'import') AND track_id IS NOT NULL "
        "ORDER BY source <> 'user', id"
    ):
        found[track].append(genre)
    return found


def _in_files(store: Store) -> dict[int, list[str]]:
    """The genres of each file that this program did not write, in their order."""
    own = _written(store)
    found: dict[int, list[str]] = {}
    for track, path, digest, names in store.query(
        "SELECT id, path, digest, file_genres FROM tracks WHERE file_genres <> '[]' ORDER BY id"
    ):
        ours = own[track] | own[path] | (own[digest] if digest else set())
        theirs = [n for n in names_from_json(names) if is_genre(n) and genre_key(n) not in ours]
        if theirs:
            found[track] = theirs
    return found


def _written(store: Store) -> defaultdict[int | bytes, set[str]]:
    """Keys of the genres this program has ever added to a track, by its id, its paths, and its audio: a copy
    of a file that was tagged holds our word, too."""
    found: defaultdict[int | bytes, set[str]] = defaultdict(set)
    for track, path, digest, before, after in store.query(
        "SELECT e.track_id, e.path, t.digest, e.before, e.after FROM edits AS e "
        "LEFT JOIN tracks AS t ON t.id = e.track_id WHERE e.undoes IS NULL AND e.state <> 'abandoned'"
    ):
        had = set(map(genre_key, state_from_json(before).values))
        added = set(map(genre_key, state_from_json(after).values)) - had
        for place in (track, path, digest):
            if place is not None:
                found[place] |= added
    return found


def _heard(
    store: Store, card: ModelCard, tracks: Sequence[int]
) -> list[tuple[int, NDArray[np.float32], NDArray[np.float64], Whose]]:
    """Id, embedding, the base model's mean probabilities, and whose it is."""
    found: list[tuple[int, NDArray[np.float32], NDArray[np.float64], Whose]] = []
    for start in range(0, len(tracks), _BATCH):
        rows: list[Any] = store.query(
            "SELECT t.id, t.path, t.artist, t.album, t.digest, a.embedding, a.activations, a.n_chunks, "
            "a.n_genres FROM tracks AS t JOIN analyses AS a ON a.track_id = t.id "
            "WHERE t.model_id = ? AND a.n_chunks > 0 AND t.abstain = '' "
            "AND t.id IN (SELECT value FROM json_each(?)) ORDER BY t.id",
            (card.model_id, json.dumps(list(tracks[start : start + _BATCH]))),
        )
        for track, path, artist, album, digest, embedding, *activations in rows:
            vector = embedding_from_blob(embedding)
            heard = TrackAnalysis(activations_from_blob(*activations), vector, 0.0, 0.0)
            base = chunk_probabilities(heard, card).mean(axis=0)
            whose = Whose(artist, album, path, (digest or b"").hex())
            found.append((track, vector, base, whose))
    return found


def groups(whose: Sequence[Whose]) -> NDArray[np.uint64]:
    """What must stay together: an artist's tracks, without one an album's, else a folder's; and one sound,
    whoever it is said to be by."""
    keys = []
    for one in whose:
        if genre_key(one.artist) not in _NOBODY:
            keys.append(artist_number(one.artist))
        elif one.album.strip():
            keys.append(artist_number(f"album {one.album}"))
        else:
            keys.append(artist_number(f"folder {one.folder.hex()}"))
    same: dict[int, int] = {}

    def root(key: int) -> int:
        while same.get(key, key) != key:
            key = same[key]
        return key

    first: dict[str, int] = {}
    for one, key in zip(whose, keys, strict=True):
        if one.digest:
            other = first.setdefault(one.digest, key)
            a, b = sorted((root(key), root(other)))
            same[b] = a
    return np.array([root(key) for key in keys], dtype=np.uint64)
