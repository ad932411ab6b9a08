"""What commands print on a terminal of 80 columns: nothing is wider, and NO_COLOR is heeded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    if arguments == ("ls",):  # the last column is cut, and of the others none that is short
        assert lines[0].split() == ["in", "the", "file", "heard", "conf.", "BPM", "status", "track"]
        assert next(line for line in lines if "002" in line).split() == (
            ["-", "country", "0.80", "90", "tagged", "country/002.mp3"]
        )
    codes = {code for found in _ESCAPE.findall(said) for code in found.split(";")}
    assert codes <= {"", "0", "1"}, "bold at most: no colours where nobody wants them"


def test_one_long_name_costs_no_column_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    from tagger.cli.common import print_table

    print_table(["in the file", "conf.", "track"], [("Blues", "0.60", "a.mp3"), ("-", "0.9", "n" * 250)])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["in", "the", "file", "conf.", "track"] and first.split()[1:] == [
        "0.60",
        "a.mp3",
    ]
    assert len(second) == 200 and second.endswith("n\u2026")


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(1, 300))
def test_the_last_column_gives_way_first_then_the_widest(natural: list[int], room: int) -> None:
    from tagger.cli.common import _NARROWEST, _fitting

    widths = _fitting(natural, room)
    assert all(width <= wanted for width, wanted in zip(widths, natural, strict=True))
    assert sum(widths) <= room or max(widths) <= _NARROWEST
    if sum(natural[:-1]) + room // 4 + _NARROWEST <= room:
        assert widths[:-1] == natural[:-1]
    cut = [width for width, wanted in zip(widths[:-1], natural[:-1], strict=True) if width < wanted]
    assert not cut or max(widths[:-1]) <= min(cut) + 1
