"""Figures that are proved by a set of tests, not measured by one: how many of them hold.

The tests carry the ids in their names; what is counted are their cases (a container, a step, a crash point).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.reliability.figures import Measured, NotHere, figure


@dataclass(frozen=True, slots=True)
class Proof:
    """A row of the table and where its tests are: files, and pytest's ``-k`` expression."""

    what: str
    bar: str
    files: tuple[str, ...]
    chosen: str
    base: str = ""


PROOFS: dict[str, Proof] = {
    "R01": Proof("stopped at any line or step of a write: audio changed, tags neither old nor new", "0",
                 ("test_replace.py",), "R01", "47/52, 20/26, 14/18"),
    "R05": Proof("disk full or a system call failing at each step: originals intact, nothing left behind",
                 "100 %", ("test_replace.py",), "R05"),
    "R10": Proof("preservation matrix: other frames changed", "0", ("test_tags.py", "test_extras.py"),
                 "R10", "5"),
    "R11": Proof("digest of the coded audio and decoded PCM equal before and after", "100 %",
                 ("test_tags.py", "test_digest.py", "test_replace.py"), "R11"),
    "R13": Proof("undo brings the former genre back, byte for byte where the format allows", "100 %",
                 ("test_tags.py", "test_replace.py", "test_end_to_end.py", "test_extras.py"),
                 "R13 or put_back or undo"),
    "R14": Proof("a dry run leaves files and database as they are", "100 %", ("test_end_to_end.py",),
                 "dry_run or put_back"),
    "R15": Proof("mode, owner, extended attributes, links, and time on request are kept", "100 %",
                 ("test_replace.py",), "R15 or modification"),
    "R16": Proof("independent readers (tinytag, ffmpeg) read the genre", "100 %",
                 ("test_tags.py", "test_extras.py"), "R16"),
    "R21": Proof("planted decoder faults: good files done, culprit named", "100 %, all", ("test_pool.py",),
                 "R21", "0-26 of 200"),
    "R41": Proof("a reader throughout a run: database is locked", "0", ("test_database.py",),
                 "R41"),
    "R42": Proof("old schemas migrate; newer, foreign or corrupt ones are refused untouched", "100 %",
                 ("test_database.py",), "R42"),
    "R50": Proof("bad model bundles refused with their own message", "all", ("test_model.py",),
                 "bundle or refused"),
}  # fmt: skip


def _register(id: str, proof: Proof) -> None:
    @figure(id, what=proof.what, bar=proof.bar, base=proof.base)
    def measure(folder: Path, *, size: int) -> Measured:
        """Run the tests in a process of their own."""
        files = [ROOT / "tests" / name for name in proof.files]
        command = [sys.executable, "-m", "pytest", "-rfE", "-p", "no:cacheprovider", "-k", proof.chosen]
        done = subprocess.run(
            [*command, f"--basetemp={folder / 'pytest'}", *files],
            cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False,
        )  # fmt: skip
        counts = {name: int(n) for n, name in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
        passed, skipped = counts.get("passed", 0), counts.get("skipped", 0)
        n = sum(counts.values()) - skipped
        if not n and skipped:
            raise NotHere(f"all {skipped} tests are skipped")
        notes = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        text = f"{passed} of {n} tests hold" + (f", {skipped} not here" if skipped else "")
        return Measured(done.returncode == 0 and n > 0, text, n, tuple(notes))


for _id, _proof in PROOFS.items():
    _register(_id, _proof)
