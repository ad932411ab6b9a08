"""What `tagger finetune` hands to the training package, and what becomes of its answer.

Training needs Keras and may not be installed; this side knows the collection: what people said of tracks,
who made them, what is in use. Between the two lies a folder: a manifest goes in, a model bundle and what was
said of each track come out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagger.card import CARD_FILE, ModelCard, read_card
from tagger.errors import ModelError
from tagger.learning.heads import Head
from tagger.learning.lessons import Lessons, Whose, groups
from tagger.learning.teach import said_in_use
from tagger.learning.verdict import Report, judged
from tagger.store import Store
from tagger.tracks import display

FORMAT = 1
MANIFEST_FILE, SAID_FILE, BUNDLE_DIR = "manifest.json", "said.json", "bundle"
LEAST_REHEARSED, MOST_REHEARSED = 100, 1000
N_DIGITS = 12
"""Of a work folder's name that tell one job from another."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What there is to learn: the lessons' tracks, then those for rehearsal.

    `genres` are the base model's, then the new ones; `group` (n_tracks,) uint64 says what must stay together.
    """

    lessons: Lessons
    genres: tuple[str, ...]
    rehearsed: tuple[tuple[Whose, str], ...]
    group: NDArray[np.uint64]

    @property
    def truth(self) -> NDArray[np.int64]:
        """(n_lessons,) indices into `genres`."""
        return np.array([self.genres.index(genre) for genre in self.lessons.genre], dtype=np.int64)


def plan_job(store: Store, card: ModelCard, lessons: Lessons) -> Job:
    """Choose what is learnt: all lessons, and about as many other tracks on which the model was sure.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    mine = {one.path for one in lessons.whose} | {one.digest.encode() for one in lessons.whose if one.digest}
    wanted = min(max(len(lessons.genre), LEAST_REHEARSED), MOST_REHEARSED)
    by_genre: dict[str, list[Whose]] = {genre: [] for genre in card.genres}
    for path, artist, album, digest, genre in store.query(
        "SELECT path, artist, album, digest, genre FROM tracks WHERE model_id = ? AND confidence >= ? "
        "AND genre IS NOT NULL AND missing_since_ns IS NULL ORDER BY (id * 2654435761) % 4294967296",
        (card.model_id, card.decision.threshold),
    ):
        whose = Whose(artist, album, path, (digest or b"").hex())
        known = whose.path in mine or (whose.digest and whose.digest.encode() in mine)
        if genre in by_genre and not known and len(by_genre[genre]) < wanted:
            by_genre[genre].append(whose)
    turns = sorted((i, genre) for genre, some in by_genre.items() for i in range(len(some)))
    rehearsed = tuple((by_genre[genre][i], genre) for i, genre in turns[:wanted])
    new = [genre for genre in dict.fromkeys(lessons.genre) if genre not in card.genres]
    return Job(
        lessons=lessons,
        genres=(*card.genres, *new),
        rehearsed=rehearsed,
        group=groups([*lessons.whose, *(whose for whose, _ in rehearsed)]),
    )


def open_job(folder: Path, job: Job, base: Path, card: ModelCard, name: str, steps: int | None) -> Path:
    """The work folder of a job, with its manifest; one that was left unfinished is taken up again.

    Unfinished work of the same name on other labels is deleted. `steps` are the batches to learn from, None
    for as many as the tracks call for.

    Raises
    ------
    ModelError
        The folder cannot be written.
    """
    paths = [one.path for one in job.lessons.whose] + [whose.path for whose, _ in job.rehearsed]
    genre = [*job.lessons.genre, *(genre for _, genre in job.rehearsed)]
    n_own = len(job.lessons.genre)
    table = {
        "format": FORMAT,
        "base": os.fspath(base.absolute()),
        "base_sha256": card.weights.sha256,
        "name": name,
        "version": "0",
        "genres": list(job.genres),
        "steps": steps,
        "tracks": [
            {"path": os.fsdecode(path), "genre": job.genres.index(g), "group": group, "own": n < n_own}
            for n, (path, g, group) in enumerate(zip(paths, genre, job.group.tolist(), strict=True))
        ],
    }  # fmt: skip
    text = json.dumps(table, indent=1)
    work = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]}"
    try:
        for other in folder.glob(f"{name}-{'[0-9a-f]' * N_DIGITS}"):  # not that of a longer name
            if other != work:
                shutil.rmtree(other)
        work.mkdir(parents=True, exist_ok=True)
        (work / MANIFEST_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"{display(os.fsencode(folder))} cannot be written: {error.strerror}; it lies beside the database"
        ) from None
    return work


def report_on(work: Path, job: Job, card: ModelCard, in_use: Head | None) -> tuple[Report, Sequence[str]]:
    """Figures and verdict of a finished job, and a sentence for each track that could not be used.

    Raises
    ------
    ModelError
        The job did not finish.
    """
    try:
        said = json.loads((work / SAID_FILE).read_text(encoding="utf-8"))
        rows = np.array(said["track"], dtype=np.int64)
        fold = np.array(said["fold"], dtype=np.int64)
        p = np.array(said["probabilities"], dtype=np.float64)
    except (OSError, ValueError, KeyError):
        where = display(os.fsencode(work))
        raise ModelError(
            f"The training in {where} did not finish: the same command goes on with it."
        ) from None
    rival, rival_said = said_in_use(job.lessons, card, in_use, job.genres)
    report = judged(
        job.genres,
        len(card.genres),
        job.truth[rows],
        job.group[rows],
        probabilities=p,
        fold=fold,
        known=np.ones(len(rows), dtype=np.bool_),
        rival=rival,
        rival_said=rival_said[rows],
        least_threshold=card.decision.threshold,
        few_threshold=card.decision.threshold,
        # Of the tracks for rehearsal nobody knows what they truly are: see `renamed`, which is told beside.
        n_old=0,
        old_lost=0.0,
        former=None if in_use is None else sum(in_use.card.labels.values()),
    )
    return report, said["left_out"]


def renamed(work: Path, card: ModelCard) -> float:
    """Share of the tracks for rehearsal that, while held out, get one of the new genres."""
    said = json.loads((work / SAID_FILE).read_text(encoding="utf-8"))
    rehearsed = np.array(said["rehearsed"], dtype=np.int64)
    return float((rehearsed >= len(card.genres)).mean()) if len(rehearsed) else 0.0


def keep_model(work: Path, shelf: Path, report: Report, name: str) -> Path:
    """Put the bundle of a finished job on the shelf of models, as the next version of its name; its folder.

    Raises
    ------
    ModelError
        It cannot be written, or is not a bundle that the program loads.
    """
    there = [int(p.name) for p in (shelf / name).glob("*") if p.name.isdecimal()]
    version = max(there, default=0) + 1
    target = shelf / name / str(version)
    part = shelf / name / f".{version}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(work / BUNDLE_DIR, part)
        table = json.loads((part / CARD_FILE).read_text(encoding="utf-8"))
        table |= {"version": str(version), "metrics": {"yours": _plain(report.as_dict())}}
        table["decision"]["threshold"] = round(report.threshold, 4)
        table["training"]["created"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        (part / CARD_FILE).write_text(
            json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        read_card(part)
        part.replace(target)
    except OSError as error:
        raise ModelError(
            f"the model cannot be saved in {display(os.fsencode(shelf))}: {error.strerror}"
        ) from None
    return target


def _plain(table: Mapping[str, object]) -> dict[str, object]:
    return dict(json.loads(json.dumps(table)))
