"""What only POSIX has is asked for before it is used; paths are those of the platform."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger import limits, places
from tests import media
from tests.conftest import ROOT, environment
from tests.faked_windows import ONLY_ON_POSIX

GUARDED_ELSEWHERE = {
    ("tagger.copies", "O_DIRECTORY"): "os.unlink not in os.supports_dir_fd",
    ("tagger.copies", "O_CLOEXEC"): "os.unlink not in os.supports_dir_fd",
    ("tagger.replace", "getxattr"): "_copy_xattrs is called where os has listxattr",
    ("tagger.replace", "setxattr"): "_copy_xattrs is called where os has listxattr",
    ("tagger.replace", "listxattr"): "_copy_xattrs is called where os has listxattr",
    ("tagger.replace", "removexattr"): "_drop_xattrs is called where os has listxattr",
    ("tagger.export", "umask"): "there on Windows too",
    ("tagger.limits", "setpriority"): "behind the return for win32",
    ("tagger.pool", "pthread_sigmask"): "behind the return where signal has it not",
    ("tagger.limits", "getloadavg"): "behind the return where os has it not",
}
"""Uses whose guard is not an `if` or a conditional expression around them, and where it is."""


def posix_uses() -> set[tuple[str, str]]:
    """(module, name) of every use of a POSIX-only name outside a test for it or for the platform."""
    names = {name for listed in ONLY_ON_POSIX.values() for name in listed.split()}
    found = set()
    for path in sorted((ROOT / "tagger").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        guarded: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.If | ast.IfExp | ast.BoolOp):
                test = ast.unparse(node.values[0] if isinstance(node, ast.BoolOp) else node.test)
                if "sys.platform" in test or "hasattr(" in test or "os.name" in test:
                    guarded |= set(ast.walk(node))
        for node in ast.walk(tree):
            is_ours = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if is_ours and node.value.id in ("os", "signal") and node.attr in names and node not in guarded:
                found.add((module, node.attr))
    return found


def test_every_posix_call_has_its_guard() -> None:
    assert posix_uses() == set(GUARDED_ELSEWHERE)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at the open files in /proc")
@pytest.mark.parametrize("container", ["flac", "mp3"])
def test_the_program_on_what_looks_like_windows(tmp_path: Path, container: str) -> None:
    pytest.importorskip("watchfiles")
    song = tmp_path / "music" / f"song.{container}"
    song.parent.mkdir()
    media.make(song, container, seconds=2, tags={"title": "A"})
    done = subprocess.run(
        [sys.executable, "-m", "tests.faked_windows", song], cwd=ROOT, env=environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["modules"] > 50
    assert found["genres"] == ["Jazz"] and found["same_time"]
    assert found["steps"] == ["copied", "edited", "verified", "fsynced", "replaced"]
    assert found["left"] == [song.name] and found["swept"] == 0, "a copy was left behind"
    assert found["load"] is None and "was ended after" in found["hook"]


def test_the_idle_class_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    called = []
    kernel = SimpleNamespace(
        GetCurrentProcess=lambda: 7, SetPriorityClass=lambda process, kind: called.append((process, kind))
    )
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    limits.lower_priority()
    assert called == [(7, 0x40)]


NAMES = st.text("ab/\\:.é", min_size=1, max_size=6).map(str.encode)


@given(st.sampled_from([b"/", b"\\"]), st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, max_size=3))
def test_what_lies_below_a_folder(sep: bytes, folder: list[bytes], rest: list[bytes]) -> None:
    def joined(parts: list[bytes]) -> bytes:
        return sep + sep.join(part.replace(sep, b"x") for part in parts)

    outer, path = joined(folder), joined(folder + rest)
    low, high = places.below(outer, sep)
    assert places.is_inside(path, outer, sep) == bool(rest) == (low <= path < high)
    assert places.is_inside(path, outer + sep, sep) == bool(rest)
    assert not places.is_inside(outer + b"x" + sep + b"y", outer, sep)


def test_the_root_of_a_disk_is_a_folder_like_others() -> None:
    assert places.is_inside(b"/a", b"/", b"/") and places.is_inside(b"C:\\a", b"C:\\", b"\\")
    assert places.below(b"/", b"/") == (b"/", b"0")


def test_macos_is_asked_what_a_file_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens a file by any case and by any composition of accents; the database must not know two of it."""
    import fcntl

    stored = os.fsencode(tmp_path / unicodedata.normalize("NFD", "Café"))
    Path(os.fsdecode(stored)).mkdir()
    typed = tmp_path / unicodedata.normalize("NFC", "café")
    typed.symlink_to(stored)  # as if the file system took the one for the other

    def answer(_fd: int, command: int, buffer: bytes) -> bytes:
        assert command == 50
        return stored + bytes(len(buffer) - len(stored))

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_GETPATH", 50, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", answer)
    assert places.canonical(os.fsencode(typed)) == stored
    gone = os.fsencode(tmp_path / "gone")
    assert places.canonical(gone) == gone


def test_the_dashboard_does_not_leave_its_window_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("streamlit")
    from click.testing import CliRunner

    from tagger.cli import dashboard

    called = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(dashboard.subprocess, "call", lambda command: called.append(command) or 5)
    for name in (
        "TAGGER_DB",
        "TAGGER_LIBRARY",
        "PYTHONPATH",
    ):  # the command sets them: put them back afterwards
        monkeypatch.setenv(name, os.environ.get(name, ""))
    ran = CliRunner().invoke(dashboard.dashboard, ["--db", str(tmp_path / "x.db"), "--no-browser"])
    assert ran.exit_code == 5 and called[0][1:4] == ["-m", "streamlit", "run"]
