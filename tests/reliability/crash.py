"""Stopping the program at the worst moment: killed outright, asked to stop, run twice at once."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutagen import File as mutagen_file

from tagger.digest import audio_digest
from tagger.store import Store
from tests import media
from tests.conftest import ROOT, environment
from tests.reliability.decoding import decoded_digest

LARGE = {
    "large-flac": ("flac", 25),
    "large-mp3": ("mp3", 10),
    "large-moov-first": ("m4a-aac-faststart", 6),
    "large-vorbis": ("ogg-vorbis", 5),
    "large-opus": ("ogg-opus", 5),
    "large-wav": ("wav", 25),
    "large-aiff": ("aiff", 25),
    "large-wma": ("wma", 5),
}
"""Name to container and size in megabytes, about."""
SMALL = (
    "mp3",
    "flac",
    "ogg-vorbis",
    "ogg-opus",
    "ogg-flac",
    "m4a-aac",
    "m4a-alac",
    "wav",
    "aiff",
    "wma",
    "wv",
    "dsf",
)


@dataclass(frozen=True, slots=True)
class KillReport:
    """What was left of a library after its program was killed again and again, and then left to finish."""

    n_files: int
    n_kills: int
    n_damaged: int
    """Files whose decoded audio or coded audio is not what it was."""
    n_lost: int
    """Files that are gone, or whose other tags have changed."""
    n_untagged: int
    """Files without the genre that the last run said it wrote."""
    n_strays: int
    """Files nobody put there."""
    integrity: str
    """SQLite's word on the database."""
    exit_code: int
    """Of the last run, which nobody killed."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all went wrong."""
        bad = self.n_damaged + self.n_lost + self.n_untagged + self.n_strays
        return bad == 0 and self.integrity == "ok" and self.exit_code == 0


def make_mixed_library(folder: Path, *, n_small: int, large: Sequence[str] = tuple(LARGE)) -> None:
    """Realistic large files of each container beside many small ones, all with other tags, none with a genre."""
    folder.mkdir()
    tags = {"title": "A title", "artist": "An artist", "album": "An album", "date": "1999"}
    for seed, name in enumerate(large):
        container, megabytes = LARGE[name]
        row = media.CONTAINERS[container]
        bytes_a_second = (row.bit_rate or 1_411_000) / 8
        media.make(
            folder / f"{name}.{row.suffix}",
            container,
            seconds=megabytes * 1e6 / bytes_a_second,
            signal="noise",  # does not compress: the sizes are what they say
            seed=seed,
            tags=tags,
        )
    for place in range(n_small):
        container = SMALL[place % len(SMALL)]
        name = f"small-{place:02}.{media.CONTAINERS[container].suffix}"
        media.make(folder / name, container, seconds=4 + place % 3, seed=100 + place, tags=tags)


def other_tags(path: Path) -> object:
    """All that mutagen reads of a file's tags but for the genre."""
    tags = mutagen_file(path).tags
    items = tags.items() if hasattr(tags, "items") else tags
    genre = ("TCON", "GENRE", "\xa9GEN", "WM/GENRE")
    return sorted((key, str(value)) for key, value in items if key.upper() not in genre)


def kill_campaign(
    work: Path, *, n_kills: int, n_small: int, large: Sequence[str] = tuple(LARGE), seed: int = 0
) -> KillReport:
    """Kill the program's whole process group at random moments while it tags, then let it finish.

    Most kills hit runs that do nothing but write: the stored analyses are written under two sets of names in
    turn, so that every file must be written again each time.
    """
    random_ = random.Random(seed)
    music, env = work / "music", environment(work)
    make_mixed_library(music, n_small=n_small, large=large)
    names = {}
    for config in "ab":
        names[config] = work / f"{config}.toml"
        names[config].write_text(
            "[genres]\n" + "".join(f'{label} = "{config} {label}"\n' for label in _labels(env))
        )
    files = sorted(music.iterdir())
    before = {
        path: (decoded_digest(path), audio_digest(os.fsencode(path)), other_tags(path)) for path in files
    }

    start_s = _timed([*_command("run", "--dry-run"), str(work)], env)  # of a run with nothing to find
    for kill in range(n_kills):
        listening = kill < n_kills // 4  # the first ones meet the workers, the rest the writer
        verb = ["run"] if listening else ["write"]
        command = [
            *_command(*verb, "--mode", "overwrite"),
            "--config",
            str(names["ab"[kill % 2]]),
            str(music),
        ]
        _kill_after(command, env, start_s * random_.uniform(0.3, 1.0) + random_.uniform(0.0, 1.5))
    last = [*_command("run", "--mode", "overwrite"), "--config", str(names["a"]), str(music)]
    exit_code = subprocess.run(last, env=env, capture_output=True, check=False).returncode

    lost = [path for path in files if not path.exists() or other_tags(path) != before[path][2]]
    damaged = [
        path
        for path in files
        if path.exists() and (decoded_digest(path), audio_digest(os.fsencode(path))) != before[path][:2]
    ]
    untagged = [path for path in files if path.exists() and not _genre(path).startswith("a ")]
    database = Path(env["TAGGER_DB"])
    with contextlib.closing(sqlite3.connect(database)) as conn:
        (integrity,) = conn.execute("PRAGMA integrity_check").fetchone()
    with Store.open(database, read_only=True) as store:
        integrity = integrity if not store.unsettled() else "edits left open"
    return KillReport(
        n_files=len(files),
        n_kills=n_kills,
        n_damaged=len(damaged),
        n_lost=len(lost),
        n_untagged=len(untagged),
        n_strays=len(set(music.iterdir()) - set(files)),
        integrity=str(integrity),
        exit_code=exit_code,
    )


def _command(*args: str) -> list[str]:
    return [sys.executable, "-m", "tagger", *args, "--threshold", "0", "--margin", "0", "--jobs", "2"]


def _labels(env: dict[str, str]) -> list[str]:
    import json

    out = subprocess.run(
        [sys.executable, "-m", "tagger", "models", "--json"], env=env, capture_output=True, check=True
    ).stdout
    return next(line["genres"] for line in map(json.loads, out.splitlines()) if line["used"])


def _genre(path: Path) -> str:
    tags = mutagen_file(path).tags
    for key in ("TCON", "genre", "\xa9gen", "WM/Genre", "Genre"):
        with contextlib.suppress(KeyError, ValueError):
            value = tags[key]
            return str(value[0] if isinstance(value, list) else getattr(value, "text", [value])[0])
    return ""


def _timed(command: list[str], env: dict[str, str]) -> float:
    started_s = time.monotonic()
    subprocess.run(command, env=env, capture_output=True, check=False)
    return time.monotonic() - started_s


def _kill_after(command: list[str], env: dict[str, str], seconds: float) -> None:
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
