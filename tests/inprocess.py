"""The command line run inside the test's own process: for commands that start no workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import Ran, environment

Here = Callable[..., Ran]


def runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Here:
    """`tagger` as the fixture of that name, without the seconds it takes to start a process."""
    from tagger.cli import run_command

    for name in [name for name in os.environ if name.startswith("TAGGER_")]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*args: object, env: Mapping[str, str] | None = None) -> Ran:
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        words = [os.fsdecode(a) if isinstance(a, bytes) else str(a) for a in args]
        monkeypatch.setattr(sys, "argv", ["tagger", *words])
        capfdbinary.readouterr()
        code = run_command()
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Here:
    """Run `tagger` in this process, with a configuration and database of its own."""
    return runner(tmp_path, monkeypatch, capfdbinary)
