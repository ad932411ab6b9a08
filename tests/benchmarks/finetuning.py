"""``python -m tests.benchmarks.finetuning WORK [STEPS]``: a network trained on, beside a head, on real music.

Needs the mel arrays and audio of TAGGER_TEST_DATA and the extra [train]; half an hour and more on two
cores. It goes on in the folder WORK where it was stopped. A person with 482 labels of twelve genres
(GTZAN's valid part, Magnatune, zouk) starts from `gtzan`, which heard none of these tracks. Each is
judged by what learnt from other artists only: the network as it is shipped (forced to guess among its
ten), a head (`tagger learn`), and the network trained on (`tagger finetune`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numpy.typing import NDArray

from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.learning.fitting import learn
from tagger.pooling import emphasis
from tests.benchmarks.learning import Heard, examples, hear, mels
from training.dataset import Clips, artist_folds
from training.tune import OWN, tune

BASE = "gtzan"
NEW = ("electronic", "zouk")


def main(work: Path, steps: int | None) -> None:
    """Measure and print."""
    card = read_card(shipped_model_dir(BASE))
    genres = (*card.genres, *NEW)
    tracks = [row for row in mels() if row[0] != "train"]
    truth = np.array([genres.index(genre) for _, genre, _, _ in tracks])
    part = np.array([part for part, _, _, _ in tracks])
    heard = hear(BASE, tracks)
    base = np.array([row.base.argmax() for row in heard])
    head = _head(heard, genres)
    frames = min(len(mel) for _, _, _, segments in tracks for mel in segments[:2])
    rows = [(i, mel[:frames]) for i, (_, _, _, segments) in enumerate(tracks) for mel in segments[:2]]
    place = np.array([i for i, _ in rows])
    clips = Clips(
        mel=np.stack([mel for _, mel in rows]),
        genre=truth[place],
        track=place.astype(str),
        artist=np.array([str(tracks[i][2]) for i in place]),
        source=np.full(len(rows), OWN),
        split=np.full(len(rows), "train"),
        genres=genres,
    )
    fold = artist_folds(clips.artist, clips.genre, 5, seed=0)
    done = tune(
        shipped_model_dir(BASE), card, clips, fold, work, name="bench", version="0", steps=steps,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    tuned = np.empty(len(tracks), dtype=np.int64)
    tuned[done.track.astype(int)] = done.probabilities.argmax(axis=1)
    print(f"{len(tracks)} tracks of {len(genres)} genres, {len(set(clips.artist.tolist()))} artists")
    for name, said in ((f"{card.model_id} as it is", base), ("a head on it", head), ("trained on", tuned)):
        right = said == truth
        by_part = ", ".join(f"{p} {right[part == p].mean():.3f}" for p in dict.fromkeys(part.tolist()))
        recall = np.mean([right[truth == g].mean() for g in np.unique(truth)])
        print(f"{name}: {right.mean():.3f} right ({by_part}), mean recall {recall:.3f}")
    better, worse = (tuned == truth) & (head != truth), (tuned != truth) & (head == truth)
    print(f"trained on against the head: {better.sum()} tracks better, {worse.sum()} worse")


def _head(heard: list[Heard], genres: tuple[str, ...]) -> NDArray[np.int64]:
    """What a head on these labels alone says of each track while its artist is held out."""
    rows = examples(heard, genres, 0, "whole")
    return np.asarray(learn(rows, emphasis=emphasis(rows.embedding.shape[1])).probabilities.argmax(axis=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
