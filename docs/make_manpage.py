"""The manual page, made from the commands themselves: ``python docs/make_manpage.py > tagger.1``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import click

from tagger import __version__
from tagger.cli import cli
from tagger.config.settings import SETTINGS

EXIT_CODES = (
    ("0", "All done."),
    ("1", "Some tracks failed, or a folder could not be read."),
    ("2", "Wrong usage or configuration."),
    ("3", "Nothing could be done (model, database, folder)."),
    ("75", "Another run holds the lock."),
    ("130", "Interrupted."),
)


def page() -> str:
    """The whole page in roff."""
    context = click.Context(cli, info_name="tagger")
    lines = [
        f'.TH TAGGER 1 "" "tagger {__version__}" "User Commands"',
        ".SH NAME",
        "tagger \\- listens to your music and fills in the missing genres, safely",
        ".SH SYNOPSIS",
        ".B tagger",
        ".I COMMAND",
        ".RI [ OPTION ...]",
        ".SH DESCRIPTION",
        *_paragraphs(cli.help or ""),
        ".SH COMMANDS",
    ]
    for name in sorted(cli.commands):
        lines += _command(cli.commands[name], f"tagger {name}", context)
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES:
        lines += [".TP", f".B {code}", _text(meaning)]
    lines += [
        ".SH ENVIRONMENT",
        "An option goes before a variable, a variable before the configuration file.",
    ]
    lines += [".TP", ".B TAGGER_CONFIG", "The configuration file."]
    lines += [".TP", ".B TAGGER_LIBRARY", "One of the libraries in it."]
    for key, setting in SETTINGS.items():
        lines += [".TP", f".B TAGGER_{key.upper()}", _text(setting.about)]
    lines += [
        ".SH FILES",
        _text("`tagger config path` names the configuration file, `tagger config show` the database."),
    ]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name.split()[-1], parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f'.SS "{_text(name)} {_text(usage)}"', *_paragraphs(command.help or ""))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            yield from (".TP", f".B {_text(record[0])}", _text(record[1]) or "\\&")
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _command(command.commands[inner], f"{name} {inner}", context)


def _paragraphs(text: str) -> Iterator[str]:
    """Help text: blank lines part paragraphs, and ``\\b`` stands before lines to leave as they are."""
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        kept = lines[0].strip() == "\b"
        yield ".PP"
        if kept:
            yield ".nf"
        yield from (_text(line.strip()) for line in lines[kept:])
        if kept:
            yield ".fi"


def _text(text: str) -> str:
    """Text with what roff would take for something else written out."""
    text = re.sub(r"\s+", " ", text).strip()
    for special, written in (("\\", "\\e"), ("-", "\\-"), ('"', "\\(dq"), ("…", "...")):
        text = text.replace(special, written)
    return "\\&" + text if text[:1] in (".", "'") else text


if __name__ == "__main__":
    sys.stdout.write(page())
