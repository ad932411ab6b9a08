"""The examples of the README, of the pages in docs/ and of the help texts: each is a command that there is.

Those that neither wait for something nor change more than files are run, one after another, in a home of
their own with the music that they name.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tagger.cli import cli
from tests import media
from tests.conftest import ROOT, Tagger
from tests.inprocess import Here, here

__all__ = ["here"]

ANY = ("--threshold", "0", "--margin", "0")
MUSIC = ("01 Intro.mp3", "demo.mp3", "song.mp3", "a.flac", "Kassav/b.flac", "Kassav/c.flac", "Jazz/d.mp3")
ONLY_READ = {
    "listen": "waits for what is playing",
    "watch": "waits for what is new",
    "dashboard": "waits for a browser",
    "learn": "needs more labels; see test_learn.py",
    "finetune": "needs more labels, and minutes",
    "schedule": "changes what the system does; see test_schedule.py",
    "--backend": "needs other computers",
}
"""Commands and options whose examples are not run here, and why."""


def _command_of(words: list[str]) -> tuple[click.Command, str, list[str]]:
    """The command that a line calls, its name, and the rest of the words."""
    command: click.Command = cli
    name = "tagger"
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, name, words = command.commands[words[0]], f"{name} {words[0]}", words[1:]
    return command, name, words


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _commands(inner)


def _lines() -> Iterator[str]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            yield from block.splitlines()
    for command in _commands(cli):
        for example in re.findall(r"Example: (.*?)(?:\n\s*\n|\Z)", command.help or "", re.S):
            yield from (line.strip() for line in example.splitlines())


def _examples() -> list[str]:
    """What is typed, each once, without what other programs do in the same line."""
    called = (re.search(r"(?:^|[ /])tagger (\w[^|&]*)", line) for line in _lines())
    # A comment begins with a sign after a blank, as in a shell.
    return list(dict.fromkeys(re.split(r"\s+#\s", found[1])[0].strip() for found in called if found))


EXAMPLES = _examples()


def test_there_are_examples_of_most_commands() -> None:
    assert len(EXAMPLES) > 40
    named = {example.split()[0] for example in EXAMPLES}
    assert named <= set(cli.commands)
    without = {
        "config",
        "doctor",
        "errors",
        "models",
        "runs",
        "status",
    }  # there is nothing to say but their names
    assert set(cli.commands) - named <= without


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_understood(example: str) -> None:
    command, name, words = _command_of(shlex.split(example))
    command.make_context(name, words)  # what is unknown or misplaced is a UsageError


def test_they_do_what_they_say(
    tmp_path: Path, tagger: Tagger, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = tmp_path / "Music"
    for seed, name in enumerate(MUSIC):
        (music / name).parent.mkdir(parents=True, exist_ok=True)
        if seed < 2:
            media.make(music / name, "mp3", seconds=5, seed=seed)
        else:
            kind = "mp3" if name.endswith("mp3") else "flac"
            media.make(music / name, kind, seconds=5, seed=seed, tags={"title": name})
    assert tagger("run", *ANY, music).code == 0
    monkeypatch.chdir(music)
    failed = []
    for example in EXAMPLES:
        words = shlex.split(example)
        if not {*words}.isdisjoint(ONLY_READ):
            continue
        if words[:2] == ["undo", "12"]:
            while here("runs", "--limit", "1", "--json").lines[0]["run"] < 12:
                here("run", "--quiet", music)  # so that the run that is to be undone is there
        typed = [word for part in words for word in _expanded(part)]
        ran = here(*typed)
        if ran.code:
            failed.append(f"tagger {example}: exit code {ran.code}: {ran.err}")
    assert not failed, "\n".join(failed)
    for made in ("library.csv", "jazz.m3u8", "like-it.m3u8"):
        assert (music / made).is_file(), made
    assert [path for path in (music / "Playlists").iterdir() if path.suffix == ".m3u8"]


def _expanded(word: str) -> list[str]:
    """As a shell would have it."""
    word = os.path.expanduser(word)
    return sorted(glob.glob(word)) or [word] if "*" in word else [word]


def test_nothing_is_left_out_without_a_reason() -> None:
    words = {word for example in EXAMPLES for word in shlex.split(example)}
    assert set(ONLY_READ) <= words, "each reason is still needed"
