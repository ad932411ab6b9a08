"""``python -m tests.benchmarks.learning``: how well heads learn from few tracks, on real music.

Needs the mel arrays and the audio of TAGGER_TEST_DATA; a few minutes on two cores. Artists are never on
both sides. Four questions are put, each with the whole embedding, with the tempo beside it (of the mel, as
there is no audio of most tracks), without the fluctuation, with the mean alone, and with plain MFCC
statistics in its place; kinds may be named on the command line:

- `gtzan`, which learnt from GTZAN's train part alone, is taught electronic (Magnatune) and zouk. The old
  genres are measured on GTZAN's valid part, which it never heard.
- `eleven` is taught zouk. The weights that ship learnt from GTZAN's valid part as well, so what happens to
  the old genres there flatters; zouk they never heard.
- The same on `gtzan`: what becomes of Magnatune's classical, pop and rock, which it never heard.
- all twelve genres from scratch, from so many tracks of each (GTZAN's valid part, Magnatune, zouk), on
  `gtzan`.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tagger.audio import open_recording
from tagger.bundle import shipped_model_dir
from tagger.feature_config import FeatureConfig
from tagger.features import chunks, log_mel, mels_from_cache, normalise
from tagger.learning.fitting import Examples, fit, learn
from tagger.learning.heads import blended, distance
from tagger.learning.reference import artist_number
from tagger.model import load_model
from tagger.pooling import N_FLUCTUATION, emphasis, fluctuation, pool

DATA = Path(os.environ.get("TAGGER_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
CONFIG = FeatureConfig()
REPEATS = 20
KINDS = ("whole", "whole and tempo", "mean and deviation", "mean", "MFCC")
TEMPOS_BPM = np.geomspace(45, 200, 16)


@dataclass(frozen=True)
class Heard:
    """A track as a model heard it."""

    part: str
    genre: str
    artist: int
    embedding: NDArray[np.float32]
    mfcc: NDArray[np.float32]
    tempo: NDArray[np.float32]
    base: NDArray[np.float64]

    def vector(self, kind: str) -> NDArray[np.float32]:
        """The embedding, or a part of it, or what stands in its place."""
        if kind == "whole and tempo":
            return np.concatenate([self.embedding, self.tempo])
        n_network = (len(self.embedding) - N_FLUCTUATION) // 2
        ends = {"whole": None, "mean and deviation": 2 * n_network, "mean": n_network}
        return self.mfcc if kind == "MFCC" else self.embedding[: ends[kind]]


def mels() -> list[tuple[str, str, int, list[NDArray[np.float32]]]]:
    """Part, genre, artist and segments of every track."""
    found: list[tuple[str, str, int, list[NDArray[np.float32]]]] = []
    with (DATA / "gtzan-mel" / "artists.tsv").open(encoding="utf-8", newline="") as file:
        artists = {row["track"]: row["artist"] for row in csv.DictReader(file, delimiter="\t")}
    with np.load(DATA / "gtzan-mel" / "dev.npz") as stored:
        gtzan = {name: stored[name] for name in stored.files}
    for i, track in enumerate(map(str, gtzan["track"])):
        artist = artist_number(artists.get(track) or track)
        mel = mels_from_cache(gtzan["X"][i : i + 1])
        found.append((str(gtzan["split"][i]), str(gtzan["genre"][i]), artist, list(mel)))
    with np.load(DATA / "magnatune-mel" / "dev.npz") as stored:
        magnatune = {name: stored[name] for name in stored.files}
    for track in np.unique(magnatune["track"]):
        rows = np.flatnonzero(magnatune["track"] == track)
        artist = artist_number(str(magnatune["artist"][rows[0]]))
        mel = mels_from_cache(magnatune["X"][rows])
        found.append(("magnatune", str(magnatune["genre"][rows[0]]), artist, list(mel)))
    for path in sorted((DATA / "zouk").glob("*.mp3")):
        with open_recording(os.fsencode(path)) as recording:
            segments = [normalise(log_mel(y, CONFIG)) for y in recording.segments(CONFIG)]
        whole = [mel for mel in segments if len(mel) >= CONFIG.chunk_frames]
        found.append(("zouk", "zouk", artist_number(path.stem), whole))
    return found


def mfcc_statistics(segments: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean and deviation of 20 MFCC and of their differences: what tutorials take."""
    c = [scipy.fft.dct(mel, norm="ortho", axis=1)[:, :20] for mel in segments]
    parts = [np.concatenate([x.mean(0), x.std(0), np.diff(x, axis=0).std(0)]) for x in c]
    return np.mean(parts, axis=0).astype(np.float32)


def tempo_profile(segments: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """How alike the onsets are to themselves a beat later, by tempo, (len(TEMPOS_BPM),): what `tagger.rhythm`
    chooses a tempo by, from columns of the mel, which are too far apart to do it well."""
    per_minute = 60 * CONFIG.sr / CONFIG.hop_length
    found = []
    for mel in segments:
        rises = np.maximum(np.diff(mel, axis=0), 0).mean(axis=1)
        spectrum = np.abs(scipy.fft.rfft(rises - rises.mean(), 2 * len(rises))) ** 2
        alike = scipy.fft.irfft(spectrum)
        found.append(np.interp(per_minute / TEMPOS_BPM, np.arange(len(alike)), alike / max(alike[0], 1e-9)))
    return np.mean(found, axis=0).astype(np.float32)


def hear(name: str, tracks: Sequence[tuple[str, str, int, list[NDArray[np.float32]]]]) -> list[Heard]:
    """All tracks through a shipped model."""
    model = load_model(shipped_model_dir(name))
    found = []
    for part, genre, artist, segments in tracks:
        said = [model.predict(chunks(mel, CONFIG)) for mel in segments]
        logits = np.concatenate([x for x, _ in said]).astype(np.float64) / model.card.calibration.temperature
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        vector = pool(
            np.concatenate([x for _, x in said]),
            [fluctuation(mel, CONFIG) for mel in segments],
            [len(x) for x, _ in said],
        )
        base = (e / e.sum(axis=1, keepdims=True)).mean(axis=0)
        row = Heard(part, genre, artist, vector, mfcc_statistics(segments), tempo_profile(segments), base)
        found.append(row)
    return found


def examples(rows: Sequence[Heard], genres: tuple[str, ...], n_kept: int, kind: str) -> Examples:
    """Tracks as the learning takes them; those of the new genres are a person's."""
    genre = np.array([genres.index(row.genre) for row in rows], dtype=np.int64)
    return Examples(
        np.stack([row.vector(kind) for row in rows]), np.stack([row.base[:n_kept] for row in rows]), genre,
        np.array([row.artist for row in rows], dtype=np.uint64), genre >= n_kept, genres,
    )  # fmt: skip


def weights(x: Examples, kind: str) -> NDArray[np.float64] | None:
    """How the parts are weighed: as `tagger learn` weighs them where all of them are there."""
    return emphasis(x.embedding.shape[1]) if kind == "whole" else None


def shuffled(artists: set[int], rng: np.random.Generator) -> list[int]:
    """In random order, the same for the same generator; the numbers are too large for an array of floats."""
    ordered = sorted(artists)
    return [ordered[i] for i in rng.permutation(len(ordered))]


def drawn(rows: Sequence[Heard], k: int, rng: np.random.Generator) -> tuple[list[Heard], list[Heard]]:
    """About `k` tracks of some artists, and all tracks of the others."""
    some: list[Heard] = []
    rest: list[Heard] = []
    for artist in shuffled({row.artist for row in rows}, rng):
        theirs = [row for row in rows if row.artist == artist]
        if len(some) < k:
            some += theirs[: k - len(some)]
        else:
            rest += theirs
    return some, rest


def extend(name: str, new: tuple[str, ...], tracks: list[Heard], kind: str, k: int) -> str:
    """Recall of new genres learnt from `k` tracks each, and what becomes of the old ones."""
    card = load_model(shipped_model_dir(name)).card
    genres = (*card.genres, *new)
    n_kept = len(card.genres) if kind != "MFCC" else 0
    parts = {"train"} if name == "gtzan" else {"train", "magnatune"}
    reference = [row for row in tracks if row.part in parts and row.genre in card.genres]
    old = [row for row in tracks if row.part == "valid"]
    truth = np.array([genres.index(row.genre) for row in old])
    figures = []
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        some: list[Heard] = []
        rest: list[Heard] = []
        for genre in new:
            a, b = drawn([row for row in tracks if row.genre == genre and row.part != "valid"], k, rng)
            some, rest = some + a, rest + b
        x = examples([*some, *reference], genres, n_kept, kind)
        learnt = learn(x, emphasis=weights(x, kind))

        def judged(rows: list[Heard], learnt=learnt) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:  # type: ignore[no-untyped-def]
            x = examples(rows, genres, n_kept, kind)
            p = blended(learnt.layer.logits(x.embedding) / learnt.temperature, x.kept, learnt.blend)
            away = distance(learnt.layer.standardised(x.embedding), learnt.layer.memory)
            return p, away <= learnt.farthest

        p_old, known_old = judged(old)
        p_new, known_new = judged(rest)
        said, target = p_new.argmax(1), np.array([genres.index(row.genre) for row in rest])
        before = np.stack([row.base for row in old])
        was = before.argmax(1) == truth
        sure_before = was & (before.max(1) >= card.decision.threshold)
        right = p_old.argmax(1) == truth
        sure = right & (p_old.max(1) >= card.decision.threshold) & known_old
        recalls = [float((said[target == genres.index(g)] == genres.index(g)).mean()) for g in new]
        figures.append(
            [*recalls, was.mean(), right.mean(), sure_before.mean(), (sure_before & ~right).mean(),
             sure.mean(), 1 - known_new.mean()]
        )  # fmt: skip
    m = np.mean(figures, axis=0)
    recalled = ", ".join(f"{g} {r:.2f}" for g, r in zip(new, m, strict=False))
    a, b, c, d, e, f = m[len(new) :]
    return (f"{k:3} each: {recalled}; old genres {a:.3f} -> {b:.3f}; named rightly {c:.3f} -> {e:.3f}, "
            f"of these now something else {d:.3f}; new tracks called strange {f:.2f}")  # fmt: skip


def same_collection(tracks: list[Heard], k: int) -> str:
    """What becomes of Magnatune's classical, pop and rock where its electronic (and zouk) is new, with `k`
    tracks of each of them labelled as well: a part of what a head learns is the sound of a collection."""
    card = load_model(shipped_model_dir("gtzan")).card
    new, others = ("electronic", "zouk"), ("classical", "pop", "rock")
    genres, n_kept = (*card.genres, *new), len(card.genres)
    reference = [row for row in tracks if row.part == "train"]
    figures = []
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        some: list[Heard] = []
        rest: list[Heard] = []
        for genre in (*new, *others):
            rows = [row for row in tracks if row.genre == genre and row.part in ("magnatune", "zouk")]
            a, b = drawn(rows, 15 if genre in new else k, rng)
            some, rest = some + a, rest + b
        met = {row.artist for row in some}  # of another genre, perhaps
        rest = [row for row in rest if row.artist not in met]
        x = examples([*some, *reference], genres, n_kept, "whole")
        x = replace(x, own=np.arange(len(x.genre)) < len(some))
        learnt = learn(x, emphasis=weights(x, "whole"))
        y = examples(rest, genres, n_kept, "whole")
        p = blended(learnt.layer.logits(y.embedding) / learnt.temperature, y.kept, learnt.blend)
        said, old = p.argmax(1), y.genre < n_kept
        figures.append(
            [(said[old] >= n_kept).mean(), (said == y.genre)[old].mean(),
             *((said == y.genre)[y.genre == genres.index(g)].mean() for g in new)]
        )  # fmt: skip
    stolen, right, *recalls = np.mean(figures, axis=0)
    found = ", ".join(f"{g} {r:.2f}" for g, r in zip(new, recalls, strict=True))
    return f"{k:3} labelled of each: {stolen:.2f} called new, {right:.2f} right; {found}"


def from_scratch(tracks: list[Heard], kind: str, k: int) -> tuple[float, float]:
    """Mean recall over twelve genres learnt from about `k` tracks each; its deviation over the repeats."""
    pool_of = [row for row in tracks if row.part != "train"]
    genres = tuple(sorted({row.genre for row in pool_of}))
    scores = []
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        artists = shuffled({row.artist for row in pool_of}, rng)
        half = set(artists[: len(artists) // 2])
        learning = [row for row in pool_of if row.artist in half]
        some = [r for g in genres for r in _at_most([row for row in learning if row.genre == g], k, rng)]
        held = [row for row in pool_of if row.artist not in half]
        x, y = examples(some, genres, 0, kind), examples(held, genres, 0, kind)
        right = fit(x, weights(x, kind)).logits(y.embedding).argmax(1) == y.genre
        scores.append(np.mean([right[y.genre == g].mean() for g in np.unique(y.genre)]))
    return float(np.mean(scores)), float(np.std(scores))


def _at_most(rows: list[Heard], k: int, rng: np.random.Generator) -> list[Heard]:
    return [rows[i] for i in rng.permutation(len(rows))[:k]]


def main() -> int:
    """Print the table."""
    kinds = sys.argv[1:] or KINDS
    if unknown := set(kinds) - set(KINDS):
        print(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        return 2
    if not DATA.is_dir():
        print(f"no real music at {DATA}; set TAGGER_TEST_DATA")
        return 1
    tracks = mels()
    heard = {name: hear(name, tracks) for name in ("gtzan", "eleven")}
    for name, new in (("gtzan", ("electronic", "zouk")), ("eleven", ("zouk",))):
        for kind in kinds:
            print(f"\n{name} + {', '.join(new)}; {kind}")
            for k in (5, 10, 15, 20) if kind != "MFCC" else (15,):
                print("  " + extend(name, new, heard[name], kind, k), flush=True)
    if "whole" in kinds:
        print("\ngtzan + electronic, zouk: Magnatune's classical, pop and rock, of artists not labelled")
        for k in (0, 5, 15):
            print("  " + same_collection(heard["gtzan"], k), flush=True)
    print("\ntwelve genres from scratch on gtzan: mean recall (deviation over repeats) by tracks of each")
    for kind in kinds:
        row = [from_scratch(heard["gtzan"], kind, k) for k in (5, 10, 20, 50)]
        print(f"  {kind:20}" + "  ".join(f"{a:.3f} ({s:.3f})" for a, s in row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
