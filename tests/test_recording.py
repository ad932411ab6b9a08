"""The terminal recording in the README: made by its script from the program, of commands that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tagger.cli import cli
from tests.conftest import ROOT, environment

pytest.importorskip("pty")  # there is none on Windows
SCRIPT = ROOT / "docs" / "make_recording.py"
COMMITTED = ROOT / "docs" / "recording.svg"


def text_of(picture: Path) -> str:
    """All that can ever be read in it, a line for each line of the terminal."""
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    lines = root.iter("{http://www.w3.org/2000/svg}g")
    return "\n".join(" ".join(text.text or "" for text in line) for line in lines)


@pytest.fixture(scope="module")
def session() -> list[list[str]]:
    lines = re.search(r"^SESSION = \((.*?)^\)", SCRIPT.read_text(), re.S | re.M)
    assert lines
    return [shlex.split(text) for text in re.findall(r'"(tagger .+)",', lines[1])]


def test_the_script_makes_a_recording_of_a_session_that_really_ran(
    tmp_path: Path, session: list[list[str]]
) -> None:
    made = tmp_path / "made.svg"
    done = subprocess.run(
        [sys.executable, SCRIPT, made, "--seconds", "5"], env=environment(tmp_path), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = text_of(made)
    assert "5 tracks found" in text and "unchanged" in text and "heard (as the database remembers)" in text
    assert "tmp" not in text and "Traceback" not in text
    assert "script" not in made.read_text() and "href" not in made.read_text()


def test_the_committed_one_is_of_this_session_and_shows_it_to_the_end(session: list[list[str]]) -> None:
    text = text_of(COMMITTED)
    for command in session:
        assert f"$ {shlex.join(command)}" in text
    assert "Put back" in text and "genre put back" in text
    assert "docs/recording.svg" in (ROOT / "README.md").read_text()
    assert COMMITTED.stat().st_size < 150_000


def test_its_commands_and_options_exist(session: list[list[str]]) -> None:
    assert len(session) >= 4
    for _, name, *arguments in session:
        options = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("-")} <= options
