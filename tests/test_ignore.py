"""Ignore rules: what git itself does with the same lines and the same tree is the reference."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.ignore import parse_rules
from tagger.scan import scan

TREE = [
    "a.mp3",
    "foo.mp3",
    "foo",
    "b [x].mp3",
    "#hash.mp3",
    "!bang.mp3",
    "end .mp3",
    "back\\slash.mp3",
    "größe.mp3",
    "foo dir/a.mp3",
    "x/foo/a.mp3",
    "x/foo/foo.mp3",
    "x/foo/y/a.mp3",
    "x/foo/y/foo/a.mp3",
    "x/foo/y/foo/b.mp3",
    "x/a.mp3",
    "y/a/foo.mp3",
    "y/a/b/c/foo.mp3",
    "y/foo.mp3/a.mp3",
    "y/b.mp3",
    "z/z/z/a.mp3",
]

LINES = """
foo
foo/
/foo
foo/*
foo/**
**/foo
**/foo/**
*
**
*/
**/
/*
/*/
/**
a*
*.mp3
/*.mp3
x/*.mp3
x/**/*.mp3
x/**
x/**/
x/foo
x/foo/
y/*/foo.mp3
y/**/foo.mp3
y/**/b
a/b
/a/b
*/a/*
**/y/**/a.mp3
?.mp3
[ab].mp3
[!a].mp3
[^a].mp3
[a-c]*
b \\[x\\].mp3
\\#hash.mp3
#hash.mp3
\\!bang.mp3
b*\\
back\\\\slash.mp3
foo dir
foo\\ dir/
z/**/z
z/z
größe.mp3
gr*e.mp3
y/foo.mp3
y/foo.mp3/
""".splitlines()
LINES += ["foo ", "foo\\ ", " foo", "foo\r", "a.mp3\t"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("git").resolve()
    for name in TREE:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # "foo" in the top folder has no suffix: let its content speak
        path.write_bytes(b"fLaC" + bytes(60))
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def by_git(root: Path) -> set[str]:
    done = subprocess.run(
        [
            "git",
            "-C",
            str(root),
            "-c",
            "core.ignorecase=false",
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
        ],
        input="\0".join(TREE).encode(),
        capture_output=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    )
    assert done.returncode in (0, 1), done.stderr
    return set(TREE) - set(done.stdout.decode().split("\0"))


def by_scan(root: Path) -> set[str]:
    base = os.fsencode(root)
    return {os.fsdecode(os.path.relpath(track.path, base)) for track in scan([base])}


def agree(root: Path, files: dict[str, list[str]]) -> None:
    """`files`: lines of the ignore file of each folder."""
    written = []
    for folder, lines in files.items():
        for name in (".gitignore", ".taggerignore"):
            path = root / folder / name
            path.write_bytes("\n".join(lines).encode())
            written.append(path)
    try:
        assert by_scan(root) == by_git(root), files
    finally:
        for path in written:
            path.unlink()


def test_without_rules_all_is_there(tree: Path) -> None:
    assert by_scan(tree) == set(TREE) == by_git(tree)


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_each_line_alone_and_taken_back(tree: Path, line: str) -> None:
    agree(tree, {"": [line]})
    agree(tree, {"": ["*.mp3", "!" + line]})
    agree(tree, {"": ["*", "!*/", "!" + line]})


def test_many_lines_in_many_folders(tree: Path) -> None:
    draw = random.Random(0)
    for _ in range(120):
        files = {}
        for folder in draw.sample(["", "x", "x/foo", "y", "y/a", "z/z"], 3):
            lines = [draw.choice(LINES) for _ in range(draw.randint(1, 4))]
            files[folder] = [draw.choice(["", "", "!"]) + line for line in lines]
        agree(tree, files)


def test_where_git_differs() -> None:
    assert parse_rules(["?.mp3"]).verdict("é.mp3", is_folder=False) is True, "a character, whatever its bytes"
    assert parse_rules(["[[:alpha:]].mp3"]).invalid == ("[[:alpha:]].mp3",)


def test_comments_and_blank_lines_are_no_rules() -> None:
    parsed = parse_rules(["", "  ", "# x", "/", "\\#x"])
    assert len(parsed.rules) == 1 and parsed.invalid == ()
    assert parsed.verdict("#x", is_folder=False) is True


def test_the_last_rule_decides_and_silence_is_none() -> None:
    rules = parse_rules(["*.mp3", "!b.mp3"])
    assert rules.verdict("a.mp3", is_folder=False) is True
    assert rules.verdict("x/b.mp3", is_folder=False) is False
    assert rules.verdict("c.ogg", is_folder=False) is None


def test_a_line_feed_in_a_name_is_a_character_like_others() -> None:
    rules = parse_rules(["*.log", "x?y", "end"])
    assert rules.verdict("a\nb/c.log", is_folder=False) is True
    assert rules.verdict("x\ny", is_folder=True) is True
    assert rules.verdict("end\n", is_folder=False) is None


@given(st.lists(st.text(max_size=12), max_size=4), st.text(min_size=1, max_size=12), st.booleans())
def test_any_text_is_a_rule_or_named_invalid(lines: list[str], path: str, is_folder: bool) -> None:
    parsed = parse_rules(lines)
    assert set(parsed.invalid) <= set(lines)
    assert parsed.verdict(path, is_folder=is_folder) in (True, False, None)
