"""The job of `tagger finetune`: from a manifest of tracks to a model bundle, and what was said of each track.

The manifest comes from the program, which knows the collection; this package, which knows how to train, reads
it, decodes the tracks once (what was decoded is kept, so that an interrupted job goes on), and writes
``bundle/`` and ``said.json`` beside it. It asks the database nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard, read_card
from tagger.errors import TaggerError
from tagger.features import mels_from_cache
from tagger.tracks import display
from training.dataset import Clips, DatasetError, artist_folds
from training.export import save_network, to_litert, write_bundle
from training.prepare import CONFIG, clip_arrays
from training.tune import OWN, REHEARSAL, Tuned, tune

MANIFEST_FILE, SAID_FILE, BUNDLE_DIR = "manifest.json", "said.json", "bundle"
FORMAT = 1
N_FOLDS = 5
MOST_SEGMENTS = 3
"""Of 30 s, taken of each track."""
MOST_CLIPS = 3000
"""0.6 GB as arrays. Of more tracks fewer segments are taken, then fewer tracks of each genre."""
LEAST_TRACKS = 20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What there is to learn from. `genres` are the base model's, then new ones."""

    base: Path
    name: str
    version: str
    genres: tuple[str, ...]
    steps: int | None
    """Batches that each network learns from; None for as many as the tracks call for."""
    tracks: tuple[Pupil, ...]


@dataclass(frozen=True, slots=True)
class Pupil:
    """One track. `genre` is what the person says, or what the base model was sure of, in rehearsal."""

    path: bytes
    genre: int
    group: str
    """The same for tracks that must stay together."""
    own: bool


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a job.

    Raises
    ------
    DatasetError
        It is missing or not one that this version reads.
    """
    path = folder / MANIFEST_FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise DatasetError(f"{path} was written by another version of this program: start again")
        tracks = tuple(
            Pupil(os.fsencode(t["path"]), int(t["genre"]), str(t["group"]), bool(t["own"]))
            for t in table["tracks"]
        )
        return Manifest(
            Path(table["base"]),
            table["name"],
            table["version"],
            tuple(table["genres"]),
            table["steps"],
            tracks,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is not a manifest of tracks to learn from: {error}") from None


def finetune(folder: Path, *, say: Say) -> None:
    """Do the job in `folder`.

    Raises
    ------
    DatasetError
        Too few tracks can be decoded, or the base model cannot be trained on from.
    """
    manifest = read_manifest(folder)
    card = read_card(manifest.base)
    clips, left_out = load(manifest, folder / "arrays", say=say)
    fold = artist_folds(clips.artist, clips.genre, N_FOLDS, seed=0)
    tuned = tune(
        manifest.base, card, clips, fold, folder, name=manifest.name, version=manifest.version,
        steps=manifest.steps, say=say,
    )  # fmt: skip
    _write(folder, manifest, card, clips, fold, tuned, left_out)


def load(manifest: Manifest, cache: Path, *, say: Say) -> tuple[Clips, list[str]]:
    """The tracks of a manifest as clips (their names are their places in it), and a sentence for each that
    cannot be used."""
    cache.mkdir(parents=True, exist_ok=True)
    chosen = choose(manifest.tracks, MOST_CLIPS)
    segments = max(1, min(MOST_SEGMENTS, MOST_CLIPS // max(1, len(chosen))))
    arrays: list[NDArray[np.uint8]] = []
    places: list[int] = []
    left_out = []
    for n, place in enumerate(chosen, start=1):
        kept = cache / f"{place}.npy"
        pupil = manifest.tracks[place]
        try:
            if kept.exists():
                found = np.load(kept, allow_pickle=False)
            else:
                found = np.stack(clip_arrays(Path(os.fsdecode(pupil.path)), segments))
                part = kept.with_suffix(".part.npy")
                np.save(part, found)
                part.replace(kept)
        except TaggerError as error:
            left_out.append(f"{display(pupil.path)} is left out: {error}")
            say(left_out[-1])
            continue
        arrays.append(found)
        places += [place] * len(found)
        if n % 50 == 0:
            say(f"{n} of {len(chosen)} tracks decoded")
    own = {place for place in places if manifest.tracks[place].own}
    if len(own) < LEAST_TRACKS:
        raise DatasetError(
            f"{len(own)} labelled tracks can be used, which is too few to train a network on: "
            f"it takes {LEAST_TRACKS} at least, and hundreds to be worth it; `tagger learn` does with fewer"
        )
    pupils = [manifest.tracks[place] for place in places]
    clips = Clips(
        mel=mels_from_cache(np.concatenate(arrays)),
        genre=np.array([p.genre for p in pupils], dtype=np.int64),
        track=np.array([str(place) for place in places]),
        artist=np.array([p.group for p in pupils]),
        source=np.array([OWN if p.own else REHEARSAL for p in pupils]),
        split=np.full(len(pupils), "train"),
        genres=manifest.genres,
    )
    return clips, left_out


def choose(tracks: Sequence[Pupil], most: int) -> list[int]:
    """At most so many of the tracks, by place: from each genre and purpose one after the other, the rarest
    never left out for the most frequent."""
    waiting: dict[tuple[bool, int], list[int]] = {}
    for place, track in enumerate(tracks):
        waiting.setdefault((not track.own, track.genre), []).append(place)
    turns = sorted((turn, key, place) for key, places in waiting.items() for turn, place in enumerate(places))
    return sorted(place for _, _, place in turns[:most])


def _write(
    folder: Path,
    manifest: Manifest,
    base: ModelCard,
    clips: Clips,
    fold: NDArray[np.int64],
    tuned: Tuned,
    left_out: list[str],
) -> None:
    """The bundle, then what was said: where that is, the job is done."""
    of_track = {str(t): int(k) for t, k in zip(clips.track, fold, strict=True)}
    bundle = folder / BUNDLE_DIR
    own = Counter(manifest.tracks[int(t)].genre for t in tuned.track)
    kept = save_network(bundle, tuned.network)
    write_bundle(
        bundle,
        to_litert(tuned.network),
        name=manifest.name,
        version=manifest.version,
        genres=manifest.genres,
        features=CONFIG,
        temperature=tuned.temperature,
        threshold=base.decision.threshold,
        metrics={},
        training={
            "sources": ["your collection"],
            "base": base.model_id,
            "base_sha256": base.weights.sha256,
            "labels": {manifest.genres[g]: n for g, n in sorted(own.items())},
            "n_clips": len(clips),
            "n_rehearsed": len(tuned.rehearsed),
            "recipe": base.training["recipe"],
            "network": kept,
        },
        licence=f"{base.licence}. Trained on from there with tracks of your own.",
    )
    said: dict[str, Any] = {
        "track": [int(t) for t in tuned.track],
        "fold": [of_track[t] for t in tuned.track.tolist()],
        "probabilities": np.round(tuned.probabilities, 5).tolist(),
        "rehearsed": [int(p) for p in tuned.rehearsed.argmax(axis=1)],
        "left_out": left_out,
    }
    part = folder / f"{SAID_FILE}.part"
    part.write_text(json.dumps(said), encoding="utf-8")
    part.replace(folder / SAID_FILE)
