"""What commands print on a terminal of 80 columns: nothing is wider, and NO_COLOR is heeded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collections_made import Made, make_database, some_tracks
from tests.conftest import environment

pty = pytest.importorskip("pty")

LONG = Made(
    b"/music/jazz/" + b"A very long folder with a very long name indeed/" * 3 + b"and a long file.mp3",
    None, 0.31, ("Progressive Alternative Electronic Rock", "Contemporary Rhythm and Blues"), title="T" * 200,
    artist="A" * 200,
)  # fmt: skip

_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


def on_a_terminal(tmp_path: Path, *arguments: str, **env: str) -> str:
    """What a command prints when it believes that somebody is looking."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.Popen(
            [sys.executable, "-m", "tagger", *arguments],
            stdout=theirs,
            stderr=theirs,
            env=environment(tmp_path) | {"COLUMNS": "80", "TERM": "xterm-256color"} | env,
        )
        os.close(theirs)
        output = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # how Linux tells that the other end is closed
                break
            if not block:
                break
            output += block
        assert done.wait(60) == 0, output
    finally:
        os.close(ours)
    return output.decode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("terminal")
    (home / "data").mkdir()
    make_database(home / "data" / "tagger.db", [*some_tracks(12), LONG])
    return home


@pytest.mark.parametrize(
    "arguments", [("ls",), ("review",), ("similar", "/music/jazz/005.mp3"), ("runs",)], ids=lambda a: a[0]
)
def test_tables_fit(home: Path, arguments: tuple[str, ...]) -> None:
    said = on_a_terminal(home, *arguments, NO_COLOR="1")
    assert len(said.splitlines()) > 1
    lines = _ESCAPE.sub("", said).splitlines()
    assert max(map(len, lines)) <= 80, lines
    codes = {code for found in _ESCAPE.findall(said) for code in found.split(";")}
    assert codes <= {"", "0", "1"}, "bold at most: no colours where nobody wants them"
