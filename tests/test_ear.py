"""The process beside a Dask worker: what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagger.cluster import ear as ears
from tagger.cluster.ear import DeafError, DiedError, Ear


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.close()


def shout(text: str) -> int:
    """Print, as libraries do, where the answers go."""
    os.write(1, text.encode())
    print(text, flush=True)
    return len(text)


def kill_own_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def closed_and_asked(pid_file: str) -> None:
    """Be a worker with an ear that is killed."""
    other = Ear()
    Path(pid_file).write_text(str(other.ask(os.getpid, limit_s=10)))
    other.ask(kill_own_parent, limit_s=10)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_process_answers_again_and_again_whatever_is_printed(ear: Ear) -> None:
    first = ear.ask(os.getpid, limit_s=10)
    assert first not in (os.getpid(), 0)
    assert ear.ask(shout, "x" * 100_000, limit_s=10) == 100_000
    assert ear.ask(bytes, 300_000, limit_s=10) == bytes(300_000)
    assert ear.ask(os.getpid, limit_s=10) == first
    assert ear.ask(os.getenv, "OMP_NUM_THREADS", limit_s=10) == "1"


def test_a_death_is_told_with_its_signal_and_another_process_takes_over(ear: Ear) -> None:
    pid = ear.ask(os.getpid, limit_s=10)
    with pytest.raises(DiedError) as died:
        ear.ask(os.abort, limit_s=10)
    assert died.value.how == "SIGABRT(-6)" and died.value.after_s < 10
    with pytest.raises(DiedError) as left:
        ear.ask(os._exit, 3, limit_s=10)
    assert left.value.how == ""
    assert ear.ask(os.getpid, limit_s=10) != pid


def test_the_limit_kills(ear: Ear) -> None:
    pid = ear.ask(os.getpid, limit_s=10)
    with pytest.raises(DiedError) as died:
        ear.ask(time.sleep, 100, limit_s=0.2)
    assert 0.2 <= died.value.after_s < 20 and not is_alive(pid)


def test_a_process_that_ended_while_idle_is_nobodys_fault(ear: Ear) -> None:
    os.kill(ear.ask(os.getpid, limit_s=10), signal.SIGKILL)
    assert ear.ask(len, "abc", limit_s=10) == 3


def test_one_that_cannot_start_is_told_apart_from_one_that_dies(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(DeafError, match="cannot be started there: No such file"):
            ear.ask(len, "abc", limit_s=10)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        with pytest.raises(DeafError, match=r"cannot be started there \(it ends with exit code 1\)"):
            ear.ask(len, "abc", limit_s=10)
    with monkeypatch.context() as patched:
        patched.setattr(ears, "START_S", 0.2)
        patched.setattr(sys, "executable", "/bin/cat")  # it is there, and says nothing
        with pytest.raises(DeafError):
            ear.ask(len, "abc", limit_s=10)
    assert ear.ask(len, "abc", limit_s=10) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it there")
def test_it_ends_with_its_parent(ear: Ear, tmp_path: Path) -> None:
    with pytest.raises(DiedError, match="SIGKILL"):
        ear.ask(closed_and_asked, str(tmp_path / "pid"), limit_s=20)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it lives on")


def test_nice_is_for_the_process_alone() -> None:
    ear = Ear(nice=True)
    before = os.nice(0)
    assert ear.ask(os.nice, 0, limit_s=10) == 19 and os.nice(0) == before
    ear.close()
