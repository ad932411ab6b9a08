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
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutagen import File as mutagen_file
from numpy.typing import NDArray

from tagger.formats.digest import audio_digest
from tagger.store import Store
from tests import media
from tests.conftest import environment
from tests.reliability.decoding import decoded_digest
from tests.reliability.figures import Measured, NotHere, figure

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


OWN = "TAGGER_"


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
    """Files without the genre that the last run wrote, or without just the extra field that goes with it."""
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
    """Realistic large files beside many small ones, all with other tags, none with a genre."""
    folder.mkdir()
    tags = {"title": "A title", "artist": "An artist", "album": "An album", "date": "1999"}
    for seed, name in enumerate(large):
        container, megabytes = LARGE[name]
        row = media.CONTAINERS[container]
        bytes_a_second = (row.bit_rate or 1_411_000) / 8
        sound = _noisy_music(megabytes * 1e6 / bytes_a_second, row.sr, seed)
        media.make(folder / f"{name}.{row.suffix}", container, signal=sound, seed=seed, tags=tags)
    for place in range(n_small):
        container = SMALL[place % len(SMALL)]
        name = f"small-{place:02}.{media.CONTAINERS[container].suffix}"
        media.make(folder / name, container, seconds=4 + place % 3, seed=100 + place, tags=tags)


def _noisy_music(seconds: float, sr: int, seed: int) -> NDArray[np.float32]:
    """Music, since noise gets no genre, with so much noise that it hardly compresses."""
    loop = media.music(20, sr, seed=seed)
    n = round(seconds * sr)
    noise = np.random.default_rng(seed).normal(0, 0.01, (n, 2)).astype(np.float32)
    return np.clip(np.tile(loop, (n // len(loop) + 1, 1))[:n] * np.float32(0.8) + noise, -1, 1)


def other_tags(path: Path) -> object:
    """All that mutagen reads of a file's tags but for the genre and the program's own fields."""
    tags = mutagen_file(path).tags
    if tags is None:  # mutagen knows no RIFF INFO list; `audio_digest` and the decoder see that file
        return []
    items = tags.items() if hasattr(tags, "items") else tags
    genre = ("TCON", "GENRE", "\xa9GEN", "WM/GENRE")
    return sorted(
        (key, str(value)) for key, value in items if key.upper() not in genre and OWN not in key.upper()
    )


def own_fields(path: Path) -> set[str]:
    """Names of the program's own fields in a file."""
    tags = mutagen_file(path).tags or {}
    return {key.upper().rpartition(":")[2] for key in tags.keys() if OWN in key.upper()}  # noqa: SIM118


def kill_campaign(
    work: Path, *, n_kills: int, n_small: int, large: Sequence[str] = tuple(LARGE), seed: int = 0
) -> KillReport:
    """Kill the program's whole process group at random moments while it tags, then let it finish.

    Most kills hit runs that do nothing but write: the stored analyses are written under two sets of names in
    turn, so that every file must be written again each time. With the names the extra fields change.
    """
    random_ = random.Random(seed)
    music, env = work / "music", environment(work)
    make_mixed_library(music, n_small=n_small, large=large)
    names = {}
    for config, extras in (("a", '["version"]'), ("b", '["confidence", "model"]')):
        names[config] = work / f"{config}.toml"
        names[config].write_text(
            f"extra_tags = {extras}\n[genres]\n"
            + "".join(f'{label} = "{config} {label}"\n' for label in _labels(env))
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
    written = {path: (_genre(path)[:2], own_fields(path)) for path in files if path.exists()}
    untagged = [path for path, found in written.items() if found != ("a ", {"TAGGER_VERSION"})]
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
    tags = mutagen_file(path).tags or {}
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


@figure(
    "R02",
    what="SIGKILLs of the process group over mixed files, then a rerun: damaged / lost / untagged / strays",
    bar="0/0/0/0, ok, exit 0",
    base="97 of 190 damaged",
    full=200,
)
def r02(folder: Path, *, size: int) -> Measured:
    """`size` kills over 60 files at full size, over fewer and smaller ones below 100 kills."""
    full = size >= 100
    report = kill_campaign(
        folder,
        n_kills=size,
        n_small=52 if full else 20,
        large=tuple(LARGE) if full else ("large-mp3", "large-moov-first", "large-opus", "large-wma"),
    )
    numbers = f"{report.n_damaged}/{report.n_lost}/{report.n_untagged}/{report.n_strays}"
    return Measured(report.is_clean, f"{numbers}, {report.integrity}, exit {report.exit_code}", size)


STEPS = ("copied", "edited", "verified", "fsynced", "replaced", "recorded")


@figure("R03", what="killed at each boundary of a write; the rerun converges", bar="6/6", full=1)
def r03(folder: Path, *, size: int) -> Measured:
    """Die at each step of the first write of a run, then run again. `size` is not used."""
    bad = []
    for step in STEPS:
        work = folder / step
        work.mkdir()
        env = environment(work)
        music = work / "music"
        music.mkdir()
        for seed, container in enumerate(("mp3", "flac", "m4a-aac")):
            row = media.CONTAINERS[container]
            media.make(music / f"{container}.{row.suffix}", container, seconds=5, seed=seed)
        sound = {path: decoded_digest(path) for path in music.iterdir()}
        killed = _python(_DIE_AT_STEP, step, str(music), env=env)
        last = subprocess.run(
            [*_command("run"), "--json", str(music)], env=env, capture_output=True, check=False
        )
        tagged = [path for path in sound if path.exists() and _genre(path)]
        if (
            killed.returncode != -signal.SIGKILL
            or last.returncode != 0
            or len(tagged) != len(sound)
            or {path: decoded_digest(path) for path in music.iterdir()} != sound
        ):
            bad.append(f"{step}: exit {last.returncode}, {len(tagged)} of {len(sound)} tagged")
    return Measured(not bad, f"{len(STEPS) - len(bad)}/{len(STEPS)}", len(STEPS), tuple(bad))


@figure(
    "R06",
    what="SIGINT and SIGTERM: exit within 5 s, no process left, the next run completes",
    bar="yes",
    full=10,
)
def r06(folder: Path, *, size: int) -> Measured:
    """Stop `size` runs with each signal: the first of them while it starts, the others at random moments."""
    if sys.platform != "linux":
        raise NotHere("when a signal can be met is read from /proc")
    random_ = random.Random(0)
    stopped, slowest_s, notes = 0, 0.0, []
    make_mixed_library(folder / "made", n_small=6, large=("large-mp3",))
    for turn in range(size):
        for number in (signal.SIGINT, signal.SIGTERM):
            name = f"{number.name} {turn}"
            work = folder / f"{turn}-{number.name}"
            work.mkdir()
            music, env = work / "music", environment(work)
            shutil.copytree(folder / "made", music)
            process = subprocess.Popen(
                [*_command("run"), str(music)],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            while process.poll() is None and not _meets(process.pid, number):
                time.sleep(0.002)
            if turn:
                time.sleep(random_.uniform(0, 4))
            sent_s = time.monotonic()
            if number == signal.SIGINT:  # a terminal sends Ctrl-C to the whole group, `kill` to one
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            said = process.communicate(timeout=60)[1].decode()
            slowest_s = max(slowest_s, time.monotonic() - sent_s)
            stopped += process.returncode == 130
            if process.returncode not in (130, 0):  # 0: all was done when the signal came
                notes.append(f"{name}: exit {process.returncode}: {said[-200:]}")
            if "Traceback" in said or "Exception ignored" in said:
                notes.append(f"{name}: a traceback: {said[-400:]}")
            if orphans := _group(process.pid):
                notes.append(f"{name}: left {orphans}")
            last = subprocess.run([*_command("run"), str(music)], env=env, capture_output=True, check=False)
            untagged = [path.name for path in music.iterdir() if not _genre(path)]
            if last.returncode or untagged:
                notes.append(f"{name}: the next run: exit {last.returncode}, untagged {untagged}")
            shutil.rmtree(work)
    if stopped < size:
        notes.append(f"only {stopped} of {2 * size} signals met a run at work")
    if slowest_s >= 5:
        notes.append(f"it took {slowest_s:.1f} s to stop")
    word = "no" if notes else "yes"
    return Measured(
        not notes, f"{word}, {stopped} stopped, slowest {slowest_s:.1f} s", 2 * size, tuple(notes)
    )


def _meets(pid: int, number: int) -> bool:
    """Whether the process has a handler of its own for the signal (Python has one for SIGINT from the start,
    so both are asked)."""
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/status").open() as status:
        caught = next((int(line.split()[1], 16) for line in status if line.startswith("SigCgt")), 0)
        return all(caught >> (n - 1) & 1 for n in (number, signal.SIGTERM))
    return False


@figure("R12", what="second run: files of the library opened at all, or for writing", bar="0", full=60)
def r12(folder: Path, *, size: int) -> Measured:
    """Every `open` of the second run's process is watched by an audit hook. No worker is started at all."""
    music, env = folder / "music", environment(folder)
    make_mixed_library(music, n_small=size, large=())
    subprocess.run([*_command("run"), str(music)], env=env, capture_output=True, check=True)
    seen = _python(_WATCH_OPENS, str(music), env=env)
    lines = seen.stdout.decode().splitlines()
    opened = [line for line in lines if line.startswith("OPENED ")]
    unchanged = sum('"unchanged"' in line for line in lines)
    return Measured(not opened and unchanged == size, f"{len(opened)}", unchanged, tuple(opened))


@figure(
    "R24",
    what="soak: growth of the parent's memory, open files",
    bar="<= 5 MB per 1,000 tracks, flat",
    full=3000,
)
def r24(folder: Path, *, size: int) -> Measured:
    """Tag `size` small tracks in one run; memory and descriptors are read from /proc after every 25.

    The second half counts: in the first, SQLite's cache and the allocator's arenas fill, once for all.
    """
    if sys.platform != "linux":
        raise NotHere("memory is read from /proc")
    music, env = folder / "music", environment(folder)
    music.mkdir()
    for seed in range(20):
        media.make(folder / f"{seed}.mp3", "mp3", seconds=4.5, seed=seed)
    for place in range(size):
        shutil.copyfile(folder / f"{place % 20}.mp3", music / f"{place:05}.mp3")
        with (music / f"{place:05}.mp3").open(
            "ab"
        ) as file:  # junk after the last frame makes each file its own
            file.write(b"\0" * (place + 1))
    done = _python(_SOAK, str(music), env=env)
    if done.returncode:
        return Measured(False, f"exit {done.returncode}", size, (done.stderr.decode()[-500:],))
    points = np.array([[float(x) for x in line.split()] for line in done.stdout.decode().splitlines()])
    settled = points[len(points) // 2 :]
    slope = np.polyfit(settled[:, 0], settled[:, 1], 1)[0] * 1000
    fds = int(settled[-1, 2] - settled[0, 2])
    return Measured(
        bool(slope <= 5 and abs(fds) <= 2), f"{slope:.2f} MB per 1,000, {fds:+d} open files", size
    )


@figure(
    "R40",
    what="a second run beside the first: exit 75 in < 1 s; after kill -9 the next starts at once",
    bar="yes",
    full=5,
)
def r40(folder: Path, *, size: int) -> Measured:
    """Start two runs at once, `size` times."""
    music, env = folder / "music", environment(folder)
    make_mixed_library(music, n_small=8, large=("large-mp3",))
    idle_s = _timed([sys.executable, "-m", "tagger", "models"], env)
    notes, slowest_s = [], 0.0
    for _ in range(size):
        first = subprocess.Popen(
            [*_command("run"), str(music)], env=env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        lock = Path(env["TAGGER_DB"] + ".lock")
        while not _is_locked(lock):
            time.sleep(0.02)
        started_s = time.monotonic()
        second = subprocess.run([*_command("run"), str(music)], env=env, capture_output=True, check=False)
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        if second.returncode != 75:
            notes.append(f"the second run exited {second.returncode}: {second.stderr.decode()[-200:]}")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        if _is_locked(lock):
            notes.append("the lock outlived its process")
    last = subprocess.run([*_command("run"), str(music)], env=env, capture_output=True, check=False)
    if last.returncode:
        notes.append(f"the run after kill -9 exited {last.returncode}: {last.stderr.decode()[-200:]}")
    # Of the second the interpreter and the model card take their part, on a busy machine more than the bar.
    if slowest_s - idle_s >= 1:
        notes.append(f"the second run took {slowest_s:.1f} s, an idle command {idle_s:.1f} s")
    return Measured(not notes, f"{'yes' if not notes else 'no'}, {slowest_s:.2f} s", size, tuple(notes))


_DIE_AT_STEP = """
import functools, os, signal, sys
import tagger.conclude, tagger.writing
fatal, music = sys.argv[1:]
def die(step):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
tagger.conclude.apply_edit = functools.partial(tagger.writing.apply_edit, on_step=die)
sys.argv = ["tagger", "run", "--threshold", "0", "--margin", "0", "--jobs", "1", music]
from tagger.__main__ import main
main()
"""

_WATCH_OPENS = """
import os, sys
music = os.fsencode(sys.argv[1])
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and os.path.isfile(args[0]):
        if os.fsencode(args[0]).startswith(music + b"/"):
            print("OPENED", args[0], args[1], flush=True)
sys.addaudithook(watch)
sys.argv = ["tagger", "run", "--threshold", "0", "--margin", "0", "--jobs", "2", "--json", sys.argv[1]]
from tagger.__main__ import main
main()
"""

_SOAK = """
import os, resource, sys
import tagger.conclude
music = sys.argv[1]
original = tagger.conclude.Conclusions.heard
n = 0
def counted(self, track, heard):
    global n
    original(self, track, heard)
    n += 1
    if n % 25 == 0:
        with open("/proc/self/statm") as statm:
            rss = int(statm.read().split()[1]) * resource.getpagesize() / 1e6
        print(n, rss, len(os.listdir("/proc/self/fd")), flush=True)
tagger.conclude.Conclusions.heard = counted
sys.argv = ["tagger", "run", "--threshold", "0", "--margin", "0", "--jobs", "2", "--quiet", music]
from tagger.__main__ import main
main()
"""


def _python(code: str, *args: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a driver script around the real program."""
    # A file of its own: worker processes import the main module again, so the program must not start there.
    guarded = "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in code.strip().splitlines())
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(guarded)
        script.flush()
        return subprocess.run(
            [sys.executable, script.name, *args], env=env, capture_output=True, check=False, timeout=3600
        )


def _group(leader: int) -> list[str]:
    """Processes of a group that are still there; those on their way out get a moment."""
    for _ in range(40):
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                text = entry.read_text()
                state, _parent, group = text.rpartition(")")[2].split()[:3]
                if int(group) == leader and state != "Z":
                    found.append(text.split(")")[0])
        if not found:
            break
        time.sleep(0.05)
    return found


def _is_locked(lock: Path) -> bool:
    import filelock

    if not lock.exists():
        return False
    probe = filelock.FileLock(str(lock))
    try:
        probe.acquire(timeout=0)
    except filelock.Timeout:
        return True
    probe.release()
    return False
