"""The command that starts the dashboard: on this machine alone, no usage reports, writes off (R60)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("streamlit")

from click.testing import CliRunner

from dashboards import schedules
from tagger.cli.dashboard import dashboard
from tagger.schedule import Planned
from tests.collections_made import make_database, some_tracks
from tests.conftest import ROOT, environment

Start = Callable[..., tuple[list[str], dict[str, str]]]


TRAVERSALS = (
    "/../../../../etc/passwd",
    "/media/../../etc/passwd",
    "/media/%2e%2e%2fetc%2fpasswd",
    "/media//etc/passwd",
    "/media/0123456789.mp3",
    "/app/static/../library.py",
    "/component/../../etc/passwd",
    "/static/..%2f..%2f..%2fetc/passwd",
)


def free_port() -> int:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running(tmp_path: Path, *options: object) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The dashboard in a process of its own; its port."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tagger",
            "dashboard",
            "--port",
            str(port),
            "--no-browser",
            *map(str, options),
        ],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "it did not start"
                time.sleep(0.2)
        yield port, process
    finally:
        process.terminate()
        process.wait(20)


def listening_on(port: int) -> set[str]:
    """Addresses on which anybody listens at a port, from the kernel's own tables."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, at = local.partition(":")
            if state == "0A" and int(at, 16) == port:
                found.add(address)
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc/net")
def test_it_listens_on_this_machine_alone(tmp_path: Path) -> None:
    make_database(tmp_path / "data" / "tagger.db", some_tracks(4))
    with running(tmp_path) as (port, process):
        assert listening_on(port) == {"0100007F"}  # 127.0.0.1
        for asked in TRAVERSALS:
            answer = fetched(port, asked)
            assert b"root:" not in answer and b"from __future__" not in answer, asked
    assert process.stdout is not None
    said = process.stdout.read().decode()
    assert "Traceback" not in said and "External URL" not in said and "Network URL" not in said


def fetched(port: int, path: str) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        s.settimeout(10)
        parts = []
        while part := s.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Run the command; the program it would become, and its environment."""
    kept = dict(os.environ)
    calls: list[tuple[list[str], dict[str, str]]] = []

    def become(_path: str, arguments: list[str]) -> None:
        calls.append((arguments, dict(os.environ)))

    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TAGGER_")]:
        monkeypatch.delenv(name)

    def run(*options: str) -> tuple[list[str], dict[str, str]]:
        done = CliRunner().invoke(dashboard, options, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return calls[-1]

    yield run
    os.environ.clear()
    os.environ.update(kept)


def test_what_it_tells_streamlit(started: Start) -> None:
    arguments, environ = started()
    assert "--server.address=127.0.0.1" in arguments and "--server.port=8501" in arguments
    assert "--browser.gatherUsageStats=false" in arguments
    assert "--client.showErrorDetails=none" in arguments
    assert "DASHBOARD_ALLOW_WRITE" not in environ
    assert any("headless=false" in a for a in arguments)
    quiet, _ = started("--no-browser", "--port", "9000")
    assert any("headless=true" in a for a in quiet) and "--server.port=9000" in quiet


def test_writes_are_off_unless_asked_for(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_ALLOW_WRITE", "1")  # left over from somewhere
    assert "DASHBOARD_ALLOW_WRITE" not in started()[1]
    assert started("--allow-write")[1]["DASHBOARD_ALLOW_WRITE"] == "1"


def test_options_reach_the_pages(started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.toml").write_text("threshold = 0.5\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    _, environ = started("--db", "here.db", "--config", "my.toml")
    assert environ["TAGGER_DB"] == str(tmp_path / "here.db")
    assert environ["TAGGER_CONFIG"] == str(tmp_path / "my.toml")
    assert str(ROOT) in environ["PYTHONPATH"].split(os.pathsep)


def test_without_streamlit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from tagger.errors import ConfigError

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="pip install"):
        dashboard.main([], standalone_mode=False)


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (
            [Planned("systemd", "tagger.timer", datetime(2026, 11, 23, 3, 0))],
            "Monday, 23 November 2026 at 03:00",
        ),
        ([Planned("cron", "5 3 * * 1 tagger run", None, ours=False)], "with cron: 5 3 * * 1 tagger run"),
        ([], schedules.NOTHING),
    ],
)
def test_the_next_run(plans: list[Planned], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "planned", lambda: plans)
    assert said in schedules.next_run()
