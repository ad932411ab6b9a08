"""What the documents say is true of the program."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from tagger.cli import cli
from tagger.config import load_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_every_command_is_in_the_readme_and_every_one_named_there_exists() -> None:
    table = set(re.findall(r"^\| `tagger (\w+)", README, re.M))
    assert table == set(cli.commands)
    named = set(re.findall(r"(?:^|[`/ ])tagger (\w+) ", README, re.M))
    assert named <= set(cli.commands)


def test_options_named_in_the_readme_exist() -> None:
    known = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= {"--check", "--help", "--data"}  # of ruff, of click, of python -m training
    named = set(re.findall(r"--[a-z][a-z-]+", README))
    assert named <= known, named - known


def test_the_configuration_in_the_readme_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    example = re.search(r"```toml\n(.*?)```", README, re.S)
    assert example
    (tmp_path / "config.toml").write_text(example[1])
    config = load_config(tmp_path / "config.toml", {})
    assert config.genres == tomllib.loads(example[1])["genres"]


def test_ci_runs_the_readmes_own_test_command() -> None:
    commands = re.findall(r"^python3 -m venv .venv && .venv/bin/pip install .*pytest$", README, re.M)
    assert len(commands) == 1


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_says_what_it_does(name: str) -> None:
    command = cli.commands[name]
    assert command.get_short_help_str()
    context = click.Context(command, info_name=name)
    for line in command.get_help(context).splitlines():
        assert len(line) <= 100
