"""The terminal recording in the README, made from the program itself: ``python docs/make_recording.py``.

Real commands run on music made by code, behind a pseudo-terminal; what they print is read by a terminal
emulator (pyte) and drawn as one SVG that plays by itself, without a script in it. Waiting is cut short, and
the folder of it all is called ~; nothing else is changed. Who asked for less motion sees the last picture.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import shlex
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pyte
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import media  # noqa: E402 - found only now
from tests.music_made import SR, loop  # noqa: E402

COLUMNS, ROWS = 80, 30
CELL_PX, LINE_PX, MARGIN_PX = 8.4, 18, 14
SESSION = (
    "tagger run Music",
    "tagger run Music",
    "tagger status",
    "tagger explain 'Music/The Makers/02 Second Thoughts.flac'",
    "tagger undo",
)
"""What is typed. The question of the last one is answered."""
ALBUM = (
    ("The Makers/01 First Light.ogg", "ogg-vorbis", 120, {"title": "First Light"}),
    ("The Makers/02 Second Thoughts.flac", "flac", 0, {"title": "Second Thoughts"}),
    ("The Makers/03 Third Rail.mp3", "mp3", 140, {"title": "Third Rail"}),
    ("Somebody/Four Walls.m4a", "m4a-aac", 0, {"title": "Four Walls", "genre": "Zouk"}),
    ("Somebody/Five Days.wav", "wav", 0, {"title": "Five Days"}),
)
"""File, container, tempo of its drums (0: it has none) and tags of the music."""

LONGEST_WAIT_S, KEY_S, READ_S, END_S = 0.7, 0.05, 1.6, 5.0
COLOURS = {
    "default": "#d8dee9", "black": "#4c566a", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#eceff4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """Signs of one look that stand side by side."""

    column: int
    text: str
    colour: str
    bold: bool
    faint: bool


Line = tuple[Run, ...]


class Recorder:
    """A screen, and what was on it when."""

    def __init__(self, home: Path) -> None:
        self._home = os.fsencode(home)
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.now_s = 0.0
        self.frames: list[tuple[float, tuple[Line, ...]]] = []
        self._stream = pyte.ByteStream(self.screen)

    def feed(self, data: bytes, waited_s: float) -> None:
        """Something is printed, so long after what was printed before."""
        self.now_s += min(waited_s, LONGEST_WAIT_S)
        self._stream.feed(data.replace(self._home, b"~"))
        lines = tuple(_line(self.screen.buffer[row]) for row in range(ROWS))
        if self.frames and self.frames[-1][1] == lines:
            return
        self.frames.append((self.now_s, lines))

    def type(self, text: str) -> None:
        """Somebody types a command."""
        for at in range(0, len(text), 2):
            self.feed(text[at : at + 2].encode(), KEY_S)
        self.feed(b"\r\n", KEY_S * 4)


def _line(row: dict[int, pyte.screens.Char]) -> Line:
    runs: list[Run] = []
    for column in range(COLUMNS):
        char = row[column]
        if char.data.strip():
            faint = getattr(char, "dim", False)
            colour = char.fg.removeprefix("bright")
            colour = COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else COLOURS["default"])
            last = runs[-1] if runs else None
            look = (colour, char.bold, faint)
            # Over one blank a run goes on: words of a sentence are one text.
            if last and (last.colour, last.bold, last.faint) == look and column - _end(last) <= 1:
                text = last.text + " " * (column - _end(last)) + char.data
                runs[-1] = Run(last.column, text, *look)
            else:
                runs.append(Run(column, char.data, *look))
    return tuple(runs)


def _end(run: Run) -> int:
    return run.column + len(run.text)


def record(session: Sequence[str], music: Path, env: dict[str, str]) -> Recorder:
    """Run the commands one after another where the music lies.

    Raises
    ------
    RuntimeError
        One of them failed.
    """
    recorder = Recorder(music.parent)
    for command in session:
        recorder.feed(b"\x1b[32m$\x1b[0m ", READ_S if recorder.frames else 0)
        recorder.now_s += READ_S if recorder.frames else 0
        recorder.type(command)
        code = _run(shlex.split(command)[1:], recorder, music.parent, env)
        if code:
            raise RuntimeError(f"{command}: exit code {code}")
    return recorder


def _run(arguments: list[str], recorder: Recorder, folder: Path, env: dict[str, str]) -> int:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    program = subprocess.Popen(
        [sys.executable, "-m", "tagger", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    for data, waited_s in _output(ours):
        recorder.feed(data, waited_s)
        if data.rstrip().endswith(b"[y/N]:"):
            recorder.now_s += READ_S
            os.write(ours, b"y\n")
    os.close(ours)
    return program.wait()


def _output(terminal: int) -> Iterator[tuple[bytes, float]]:
    """What a program prints, piece by piece, and how long each was waited for."""
    before_s = time.monotonic()
    while True:
        select.select([terminal], [], [])
        time.sleep(0.03)  # what is printed together is read together
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # Linux: nobody has the other end open any more
            return
        if not data:
            return
        now_s = time.monotonic()
        yield data, now_s - before_s
        before_s = now_s


def drawn(recorder: Recorder) -> str:
    """The recording as an SVG that plays again and again."""
    total_s = recorder.now_s + END_S
    shown = _intervals(recorder.frames, total_s)
    height = max((row for row, *_ in shown), default=0) + 1
    names: dict[tuple[float, float], str] = {}
    body = []
    for row, line, start_s, end_s in shown:
        last = end_s >= total_s
        name = names.setdefault((start_s, end_s), f"t{len(names)}")
        parts = "".join(_text(run, row) for run in line)
        body.append(f'<g class="{name}{" z" if last else ""}">{parts}</g>')
    rules = [_rule(name, *times, total_s) for times, name in names.items()]
    width_px, height_px = COLUMNS * CELL_PX + 2 * MARGIN_PX, height * LINE_PX + 2 * MARGIN_PX
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px:g} {height_px:g}" '
            f'width="{width_px:g}" height="{height_px:g}">',
            f"<title>{escape('; '.join(dict.fromkeys(SESSION)))}</title>",
            "<style>text{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}",
            "g{visibility:hidden}.z{visibility:visible}",
            "@media (prefers-reduced-motion:no-preference){",
            *rules,
            "}</style>",
            '<rect width="100%" height="100%" rx="8" fill="#2e3440"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _intervals(
    frames: Sequence[tuple[float, tuple[Line, ...]]], total_s: float
) -> list[tuple[int, Line, float, float]]:
    """Which line stood in which row from when to when; empty ones are left out."""
    found = []
    for row in range(ROWS):
        since_s, line = 0.0, ()
        for at_s, lines in [*frames, (total_s, ())]:
            now: Line | None = lines[row] if lines else None
            if now != line:
                if line and at_s > since_s:
                    found.append((row, line, round(since_s, 2), round(at_s, 2) if lines else total_s))
                since_s, line = at_s, now or ()
    return found


def _rule(name: str, start_s: float, end_s: float, total_s: float) -> str:
    start, end = (100 * at_s / total_s for at_s in (start_s, end_s))
    steps = [] if start == 0 else ["0%{visibility:hidden}"]
    steps.append(f"{start:.3f}%{{visibility:visible}}")
    steps.append("100%{visibility:visible}" if end >= 100 else f"{end:.3f}%,100%{{visibility:hidden}}")
    return (
        f".{name}{{animation:{name} {total_s:.2f}s step-end infinite}}@keyframes {name}{{{''.join(steps)}}}"
    )


def _text(run: Run, row: int) -> str:
    x, y = MARGIN_PX + run.column * CELL_PX, MARGIN_PX + row * LINE_PX + 13
    look = f' fill="{run.colour}"' + ' font-weight="bold"' * run.bold + ' opacity="0.6"' * run.faint
    width = len(run.text) * CELL_PX
    return (
        f'<text x="{x:g}" y="{y:g}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs"{look}>'
        f"{escape(run.text)}</text>"
    )


def sound(seconds: float, bpm: int, seed: int) -> NDArray[np.float32]:
    """Chords, and where there is a tempo drums, of which the model is sure; (n,) float32 at `SR`."""
    chords = media.music(seconds, SR, 1, seed=seed)[:, 0]
    if not bpm:
        return chords
    drums = loop(bpm, "four to the floor", seconds=seconds)
    return np.asarray(0.6 * drums / np.abs(drums).max() + 0.12 * chords, dtype=np.float32)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the music, run the session, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "docs" / "recording.svg")
    parser.add_argument("--seconds", type=float, default=24.0, help="length of each track")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder, "Music")
        for seed, (name, container, bpm, tags) in enumerate(ALBUM):
            path = music / name
            path.parent.mkdir(parents=True, exist_ok=True)
            signal = sound(arguments.seconds, bpm, seed)
            media.make(path, container, sr=SR, channels=1, signal=signal, seed=seed, tags=tags)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAGGER_")}
        env = kept | {"HOME": folder, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "NO_COLOR", "COLUMNS", "LINES"):
            env.pop(name, None)
        arguments.out.write_text(drawn(record(SESSION, music, env)), encoding="utf-8")


if __name__ == "__main__":
    main()
