"""What the documents say is true of the program."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tagger.cli import cli
from tagger.config import Config, load_config
from tagger.config.settings import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def every_command() -> Iterator[click.Command]:
    """The commands, and those of groups."""
    for command in cli.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from command.commands.values()


def test_every_command_is_in_the_readme_and_every_one_named_there_exists() -> None:
    table = set(re.findall(r"^\| `tagger (\w+)", README, re.M))
    assert table == set(cli.commands)
    named = set(re.findall(r"(?:^|[`/ ])tagger (\w+) ", README, re.M))
    assert named <= set(cli.commands)


def test_options_named_in_the_readme_exist() -> None:
    known = {
        option
        for command in every_command()
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


def test_the_table_of_settings_is_that_of_the_code() -> None:
    options = {
        parameter.name: max(parameter.opts, key=len)
        for command in every_command()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }
    defaults = {"db": "in the platform's data directory", "threshold": "the model's", "margin": "the model's"}
    expected = []
    for key, setting in SETTINGS.items():
        default = getattr(Config(), key)
        shown = defaults.get(key) or ("none" if default in (None, (), {}) else f"`{setting.example}`")
        option = "PATH…" if key == "paths" else options.get(key)
        cells = (f"`{key}`", f"`TAGGER_{key.upper()}`", f"`{option}`" if option else "", shown, setting.about)
        expected.append(f"| {' | '.join(cells)} |")
    assert re.findall(r"^\| `\w+` \| `TAGGER_.*$", README, re.M) == expected


def test_ci_runs_the_readmes_own_test_command() -> None:
    commands = re.findall(r"^python3 -m venv .venv && .venv/bin/pip install .*pytest$", README, re.M)
    assert len(commands) == 1


def test_examples_of_settings_in_the_pages_are_valid(tmp_path: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for example in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S):
            (tmp_path / "config.toml").write_text(example)
            assert load_config(tmp_path / "config.toml", {}) != Config()


def test_every_source_of_the_page_on_media_servers_is_referred_to() -> None:
    text, sources = (ROOT / "docs" / "media-servers.md").read_text().split("## Sources")
    assert set(re.findall(r"\[(\d+)\]", text)) == set(re.findall(r"^(\d+)\. ", sources, re.M))


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_says_what_it_does(name: str) -> None:
    command = cli.commands[name]
    assert command.get_short_help_str()
    context = click.Context(command, info_name=name)
    for line in command.get_help(context).splitlines():
        assert len(line) <= 100
