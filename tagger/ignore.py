"""gitignore rules, applied as git does: the last rule that matches an entry decides.

pathspec translates the patterns. Its own verdicts are not used: they are about files alone, while a walk has
to decide about each folder before it enters (after ``*``, ``!*/``, ``!*.mp3`` it must enter them all).

Two things differ from git: ``?`` is one character, where git takes one byte; and the classes of POSIX, such
as ``[[:alpha:]]``, are not known and so no pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One line that is neither blank nor a comment."""

    matches: re.Pattern[str]
    """To be matched in full."""
    ignores: bool
    """False for a line that begins with ``!``."""
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one ignore file, or of one list of patterns."""

    rules: tuple[Rule, ...]
    """The last line first."""
    invalid: tuple[str, ...]
    """Lines that are no pattern. They match nothing, as in git."""

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether an entry is left out (True) or let in (False); None where no rule speaks of it.

        `path` is relative to the folder of the rules, with ``/`` between names and none at the end. The
        folders above it have been let in already.
        """
        # A name may hold a line feed, which regular expressions treat in their own way; a pattern cannot.
        path = path.replace("\n", "\udc0a")
        for rule in self.rules:
            if (is_folder or not rule.folders_only) and rule.matches.fullmatch(path):
                return rule.ignores
        return None


def parse_rules(lines: Iterable[str]) -> Rules:
    """Compile lines in gitignore syntax (without their line feeds)."""
    rules: list[Rule] = []
    invalid: list[str] = []
    for line in lines:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # only where there are rules

        pattern = line if line.endswith("\\ ") else line.rstrip(" ")
        folders_only = pattern.endswith("/")
        # What is about folders alone is asked of folders alone, so that each rule can be matched in full.
        # And all that is inside a folder, ``/**``, is not the folder itself.
        pattern = pattern.removesuffix("/")
        if pattern.endswith("/**"):
            pattern += "/*"
        if pattern[-1:].isspace() and not pattern.endswith("\\ "):
            pattern = (
                f"{pattern[:-1]}[{pattern[-1]}]"  # git drops spaces at the end, pathspec tabs and others too
            )
        try:
            if "[[:" in pattern:
                raise ValueError("a POSIX class")
            translated = GitIgnoreSpecPattern(pattern)
        except (ValueError, re.error):
            invalid.append(line)
            continue
        if translated.include is not None and translated.regex is not None:
            everything = translated.regex.pattern == "."
            matches = re.compile(".*") if everything else translated.regex
            rules.append(Rule(matches, translated.include, folders_only))
    return Rules(tuple(reversed(rules)), tuple(invalid))
