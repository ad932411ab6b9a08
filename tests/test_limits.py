"""Runs that are not in the way: a time to stop at, a load to stay under, the least priority, a last word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagger import limits
from tagger.hook import call_hook
from tagger.limits import Gate
from tagger.tracks import ListenTask
from tests import media
from tests.conftest import Tagger, tree
from tests.inprocess import Here, here

__all__ = ["here"]

TASKS = [ListenTask(b"/%d" % n, "") for n in range(5)]


def test_without_limits_everything_passes() -> None:
    gate = Gate()
    assert list(gate.through(TASKS)) == TASKS and not gate.stopped


def test_nothing_passes_when_the_time_is_over() -> None:
    gate = Gate(time_limit_s=0.05)
    passed = gate.through(TASKS)
    assert next(passed) == TASKS[0]
    time.sleep(0.06)
    assert list(passed) == [] and gate.stopped
    assert not Gate(time_limit_s=1000).over()


def in_a_thread(gate: Gate) -> tuple[threading.Thread, list[ListenTask]]:
    passed: list[ListenTask] = []
    thread = threading.Thread(target=lambda: passed.extend(gate.through(TASKS)))
    thread.start()
    return thread, passed


def test_a_busy_machine_is_waited_for() -> None:
    load = [3.0]
    gate = Gate(max_load=2.0, load=lambda: load[0], poll_s=0.01)
    thread, passed = in_a_thread(gate)
    time.sleep(0.1)
    assert passed == [] and thread.is_alive()
    load[0] = 2.0
    thread.join(10)
    assert passed == TASKS and not gate.stopped


def test_nobody_waits_at_a_closed_gate_or_after_the_time() -> None:
    gate = Gate(max_load=2.0, load=lambda: 9.0)
    thread, passed = in_a_thread(gate)
    gate.close()
    thread.join(10)
    assert not thread.is_alive() and passed == [] and not gate.stopped
    late = Gate(max_load=2.0, load=lambda: 9.0, time_limit_s=0.05, poll_s=0.01)
    late.wait()
    assert late.stopped


def test_a_load_that_is_not_to_be_had_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    assert limits.load_average() is None
    Gate(max_load=0.1).wait()


PRIORITY = """
import os, subprocess, sys
from tagger.limits import lower_priority
lower_priority()
print(os.nice(0), subprocess.run(["ionice"], capture_output=True, text=True).stdout if sys.argv[1:] else "")
child = [sys.executable, "-c", "import os; print(os.nice(0))"]
print(subprocess.run(child, capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks with ionice")
def test_the_least_priority_is_for_the_workers_too() -> None:
    done = subprocess.run([sys.executable, "-c", PRIORITY, "x"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["19", "idle", "19"]


# ---- whole runs


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in range(3):
        media.make(folder / f"{seed}.flac", "flac", seconds=4, seed=seed)
    return folder


def test_a_run_stops_at_its_limit_and_the_next_does_the_rest(
    tagger: Tagger, here: Here, music: Path, tmp_path: Path
) -> None:
    first = here("run", "--time-limit", "1s", "--max-load", "0.1", "--threshold", "0", "-j", "1", music)
    assert first.code == 0, first.err
    assert "Stopped at its time limit with 3 tracks still to listen to; the next run goes on" in first.out
    last = json.loads(here("runs", "--json").out)
    assert (last["state"], last["exit_code"]) == ("limited", 0)
    assert "limited" in here("runs").out
    second = tagger("run", "--threshold", "0", "--margin", "0", "--json", music)
    assert sorted(second.by_name()) == sorted(path.name for path in music.iterdir())
    assert json.loads(here("runs", "--json").out.splitlines()[0])["state"] == "done"


def test_nothing_is_taken_for_missing_by_a_run_that_did_not_get_there(
    tagger: Tagger, here: Here, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(gate: Gate) -> bool:
        gate.stopped = True
        return True

    assert tagger("scan", music).code == 0
    (music / "0.flac").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(Gate, "over", over)  # while it still looks round
        stopped = here("run", music)
    assert stopped.code == 0 and "Stopped at its time limit; the next run goes on" in stopped.out
    assert json.loads(here("status", "--json").out)["missing"] == 0
    assert here("run", music).code == 0
    assert json.loads(here("status", "--json").out)["missing"] == 1


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "told.json"


def hook(told: Path, then: str = "") -> str:
    write = f"import sys, time; open({str(told)!r}, 'w').write(sys.stdin.read()); {then}"
    return json.dumps([sys.executable, "-c", write])


def test_the_command_at_the_end_is_told_the_summary(
    tagger: Tagger, here: Here, music: Path, told: Path
) -> None:
    settings = music.parent / "c.toml"
    settings.write_text(f"on_finish = {hook(told)}\nthreshold = 0.0\nmargin = 0.0\n")
    ran = tagger("run", "--config", settings, music)
    facts = json.loads(told.read_text())
    assert facts["exit_code"] == ran.code == 0 and facts["folders"] == [str(music)]
    assert facts["tracks"] == 3 and facts["counts"].get("tagged", 0) == facts["written"]
    after = tree(music)
    told.unlink()
    assert here("run", "--dry-run", "--config", settings, music).code == 0
    assert not told.exists(), "a dry run calls nobody"
    settings.write_text(f"on_finish = {hook(told, 'print(1/0)')}\nthreshold = 0.0\nmargin = 0.0\n")
    failing = here("run", "--quiet", "--config", settings, music)
    assert failing.code == 0 and "on_finish" in failing.err and "ZeroDivisionError" in failing.err
    assert tree(music) == after and json.loads(told.read_text())["tracks"] == 3


def test_what_can_go_wrong_with_the_command() -> None:
    assert call_hook(["true"], {"a": 1}) == ""
    assert "cannot be started: No such file" in call_hook(["no-such-program"], {})
    assert call_hook(["sh", "-c", "exit 3"], {}).endswith("failed with exit code 3.")
    # It need not read what it is told, even if that is more than a pipe holds.
    assert call_hook(["true"], {"a": "x" * 1_000_000}) == ""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    started_s = time.monotonic()
    said = call_hook(["sh", "-c", f"sleep 100 & echo $! > {child}; wait"], {}, timeout_s=0.5)
    assert "was ended after" in said and time.monotonic() - started_s < 30
    for _ in range(100):
        try:
            os.kill(int(child.read_text()), 0)
        except ProcessLookupError:
            break
        if Path(f"/proc/{child.read_text().strip()}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        os.kill(int(child.read_text()), signal.SIGKILL)
        pytest.fail("the child lives on")
