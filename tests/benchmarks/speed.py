"""Listening against the decoder alone and against the tutorial, on the same files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.corpus import copies, long_tracks, real_tracks
from tests.benchmarks.harness import NotHere, Row, Took, benchmark, in_turns, median_s, ratio, tagger, timed

JOBS = 2
LENGTHS = 4
"""Of long tracks, four of each: 128, so that starting is a small part of it, as in a collection."""
FLOOR_BAR, TUTORIAL_BAR, SAMPLING_BAR = 1.35, 5.0, 3.0
BOLD = ("--threshold", "0", "--margin", "0", "--mode", "overwrite")
"""Every file gets a genre: the most that a run can have to do."""


def forgetful(folder: Path, *args: object) -> Callable[[], Took]:
    """A command of the program that finds no database each time."""

    def run() -> Took:
        for left in folder.glob("tagger.db*"):
            left.unlink()
        return timed(tagger(*args), folder)

    return run


def floor(folder: Path, files: list[Path], jobs: int = JOBS) -> Callable[[], Took]:
    """The decoder alone."""
    command = [sys.executable, "-m", "tests.benchmarks.floor", str(jobs), *map(str, files)]
    return lambda: timed(command, folder)


@benchmark("full")
def full(folder: Path, rounds: int) -> list[Row]:
    """Every chunk of every track, against decoding alone: 4-minute tracks, 2 processes."""
    files = long_tracks(folder / "music", lengths=LENGTHS)
    took = in_turns(
        {
            "decode floor": floor(folder, files),
            "scan": forgetful(folder, "scan", "--jobs", JOBS, "--quiet", folder / "music"),
            "run": forgetful(folder, "run", "--jobs", JOBS, "--quiet", *BOLD, folder / "music"),
        },
        rounds,
    )
    audio_s = float(took["decode floor"][0].out)
    rows = [Row(f"{len(files)} tracks, {audio_s / 3600:.2f} h of music; decode floor", _speed(took, audio_s))]
    for name in ("scan", "run"):
        wall = ratio(took[name], took["decode floor"])
        cpu = ratio(took[name], took["decode floor"], cpu=True)
        text = f"{wall:.2f} × the floor in wall time, {cpu:.2f} × in processor time"
        what = "scan: listen and remember" if name == "scan" else "run: and write every file"
        rows.append(Row(what, text, f"{FLOOR_BAR} ×", wall <= FLOOR_BAR))
    return rows


def _speed(took: dict[str, list[Took]], audio_s: float) -> str:
    wall_s = median_s(took["decode floor"])
    return f"{wall_s:.1f} s, {audio_s / wall_s:.0f} times as fast as it plays"


@benchmark("coverage")
def coverage(folder: Path, rounds: int) -> list[Row]:
    """Two segments of 4-minute tracks against all of them."""
    music = folder / "music"
    files = long_tracks(music, lengths=LENGTHS)
    scan = ("scan", "--jobs", JOBS, "--quiet")
    took = in_turns(
        {
            "full": forgetful(folder, *scan, music),
            "2 segments": forgetful(folder, *scan, "--coverage", 2, music),
        },
        rounds,
    )
    wall = ratio(took["full"], took["2 segments"])
    cpu = ratio(took["full"], took["2 segments"], cpu=True)
    text = f"{wall:.1f} × as fast as full in wall time, {cpu:.1f} × in processor time"
    return [Row(f"--coverage 2, {len(files)} tracks", text, f"{SAMPLING_BAR:.0f} ×", wall >= SAMPLING_BAR)]


@benchmark("tutorial")
def tutorial(folder: Path, rounds: int) -> list[Row]:
    """Against the usual tutorial's pipeline: real tracks, start-up included."""
    music = folder / "music"
    n_all = len(copies(music))
    for path in sorted(music.glob("*.mp3"))[: n_all - 5]:
        path.unlink()
    files = [str(path) for path in sorted(music.glob("*.mp3"))]
    command = [sys.executable, "-m", "tests.benchmarks.tutorial", *files]
    competitors = {
        "tutorial": lambda: timed(command, folder),
        "scan, 1 process": forgetful(folder, "scan", "--jobs", 1, "--quiet", music),
        "scan": forgetful(folder, "scan", "--jobs", JOBS, "--quiet", music),
    }
    took = in_turns(competitors, min(rounds, 3))
    times = ratio(took["tutorial"], took["scan"])
    alone = ratio(took["tutorial"], took["scan, 1 process"])
    cpu = ratio(took["tutorial"], took["scan"], cpu=True)
    parameters = int(took["tutorial"][0].out.split()[0])
    return [
        Row(
            f"tutorial, {parameters:,} parameters, {len(files)} tracks", f"{median_s(took['tutorial']):.1f} s"
        ),
        Row("faster, 2 processes", f"{times:.1f} ×", f"{TUTORIAL_BAR} ×", times >= TUTORIAL_BAR),
        Row("faster, 1 process", f"{alone:.1f} ×"),
        Row("less processor time", f"{cpu:.1f} ×"),
    ]


@benchmark("essentia")
def essentia(folder: Path, rounds: int) -> list[Row]:
    """Against Essentia's MusicExtractor, where it is installed: one process each."""
    if find_spec("essentia") is None:
        raise NotHere("essentia is not installed (`pip install essentia`, where it has a wheel)")
    music = folder / "music"
    n_all = len(copies(music))
    for path in sorted(music.glob("*.mp3"))[: n_all - 5]:
        path.unlink()
    command = [sys.executable, "-m", "tests.benchmarks.extractor", *map(str, sorted(music.glob("*.mp3")))]
    took = in_turns(
        {
            "essentia": lambda: timed(command, folder),
            "scan": forgetful(folder, "scan", "--jobs", 1, "--quiet", music),
        },
        min(rounds, 3),
    )
    wall, cpu = ratio(took["essentia"], took["scan"]), ratio(took["essentia"], took["scan"], cpu=True)
    return [
        Row("Essentia's MusicExtractor, 5 tracks", f"{median_s(took['essentia']):.1f} s"),
        Row("faster, start included", f"{wall:.1f} ×, with {1 / cpu:.2f} of its processor time"),
    ]


@benchmark("start")
def start(folder: Path, rounds: int) -> list[Row]:
    """From the command to the first word, and to the first result."""
    music = folder / "music"
    music.mkdir()
    track = music / "track.mp3"
    track.write_bytes(real_tracks()[-1].read_bytes())
    timed(tagger("predict", track), folder)  # the disk is warm
    took = in_turns(
        {
            "import click": lambda: timed([sys.executable, "-c", "import click"], folder),
            "--help": lambda: timed(tagger("--help"), folder),
            "first result": forgetful(folder, "run", "--dry-run", "--json", music),
        },
        max(rounds, 5),
    )
    times = ratio(took["--help"], took["import click"])
    first_s = min(t.wall_s for t in took["first result"])
    return [
        Row("--help against import click", f"{times:.2f} ×", "3 ×", times <= 3),
        Row(
            "first track's result, and the end (best; median)",
            f"{first_s:.2f} s; {median_s(took['first result']):.2f} s",
            "2.5 s",
            first_s <= 2.5,
        ),
    ]
