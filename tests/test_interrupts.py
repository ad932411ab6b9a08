"""The one orderly end of the program, in a process of its own for each moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

DURING = {
    "an import": "",
    "an exec of source": "def work(): exec('signal.raise_signal(number)')",
    "another exception": """
def work():
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise ImportError('an extension module could not be imported')""",
    "a finaliser": """
class Object:
    def __del__(self):
        signal.raise_signal(number)
def work():
    sys.unraisablehook = lambda _: None
    Object()
    interrupts.check()""",
    "the clean-up of a first": """
def work():
    try:
        signal.raise_signal(number)
    finally:
        signal.raise_signal(number)""",
}
"""What the signal meets; an import of the command line where nothing is said."""

SCRIPT = """
import signal, sys, types
from tagger import __main__, interrupts
number = int(sys.argv[1])
{work}
class Module(types.ModuleType):
    def __getattr__(self, name):
        if name == "run_command":
            return work
        raise AttributeError(name)
class Finder:
    def find_spec(self, name, *_):
        if name == "tagger.cli":
            signal.raise_signal(number)
if "work" in globals():
    sys.modules["tagger.cli"] = Module("tagger.cli")
else:
    sys.meta_path.insert(0, Finder())
__main__.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", DURING)
def test_R06_a_signal_ends_the_program_in_order_during(
    moment: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "moment.py").write_text(SCRIPT.format(work=DURING[moment]))
    done = subprocess.run(
        [sys.executable, "-m", "moment", str(number.value)],  # `-m` has an end of its own in CPython
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr.startswith("tagger: Interrupted;"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_R06_a_signal_after_the_work_changes_nothing() -> None:
    script = """
import atexit, os, signal
from tagger import interrupts
interrupts.install()
interrupts.finish()
for number in (signal.SIGINT, signal.SIGTERM):
    atexit.register(os.kill, os.getpid(), number)
raise SystemExit(7)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")


def test_what_is_ignored_from_the_start_stays_ignored() -> None:
    script = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from tagger import interrupts
interrupts.install()
signal.raise_signal(signal.SIGHUP)
interrupts.check()
print("still here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "still here\n", done.stderr
