"""Fixtures: a small music library of every container, the program run on it, and where the real music is."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import media

ROOT = Path(__file__).resolve().parent.parent

# Before TensorFlow, which some tests import: it brings an SQLite of its own, and the first one is used.
assert sqlite3.sqlite_version

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

MAIN = sys.modules["__main__"]

# A shell script starts what it puts in the background deaf to Ctrl-C, and so would be what is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def main_module_put_back() -> Iterator[None]:
    """Streamlit's page runner leaves its script as `__main__`, which processes started later would run."""
    yield
    sys.modules["__main__"] = MAIN


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real music; see CONTRIBUTING.md."""
    folder = Path(os.environ.get("TAGGER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real music at {folder}; set TAGGER_TEST_DATA")
    return folder


CONTAINERS = (
    "mp3", "flac", "ogg-vorbis", "ogg-opus", "ogg-flac", "m4a-aac", "m4a-alac",
    "wav", "aiff", "wma", "wv", "tta", "dsf",
)  # fmt: skip
"""Every container that holds tags and that the tests can make."""


@pytest.fixture(scope="session")
def made_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One six-second track of each container, without a genre. Copy it: tests must not change it."""
    folder = tmp_path_factory.mktemp("made")
    for seed, container in enumerate(CONTAINERS):
        name = f"{container}.{media.CONTAINERS[container].suffix}"
        media.make(
            folder / name, container, seconds=6, seed=seed, tags={"title": container, "artist": "Someone"}
        )
    return folder


@dataclass(frozen=True)
class Ran:
    """A finished run of the program."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def by_name(self) -> dict[str, dict[str, Any]]:
        """The lines of `--json` by file name."""
        return {os.path.basename(line["path"]): line for line in self.lines}


Tagger = Callable[..., Ran]


@pytest.fixture
def tagger(tmp_path: Path) -> Tagger:
    """Run `tagger` in a process of its own, with a configuration and database of its own."""

    def run(*args: object, timeout_s: float = 240, env: Mapping[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "tagger", *(a if isinstance(a, bytes) else str(a) for a in args)],
            capture_output=True,
            env=environment(tmp_path) | dict(env or {}),
            timeout=timeout_s,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err + ran.out, ran.err
        return ran

    return run


def environment(tmp_path: Path) -> dict[str, str]:
    """The environment for the program under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAGGER_")}
    return kept | {
        "TAGGER_DB": str(tmp_path / "data" / "tagger.db"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
    }


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, with its time of modification."""
    return {
        str(
            path.relative_to(folder)
        ): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
