"""`tagger verify`: what a crash or another program left is found, and settled where it can be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mutagen

from tagger.store import Store
from tagger.tags import read_tags
from tagger.tracks import GenreState, TagEdit
from tagger.verify import Finding, verify
from tests.conftest import Tagger
from tests.test_end_to_end import ANY

STRAY = ".tagger-0123456789abcdef.tmp"


def findings(database: Path, *, fix: bool = False) -> dict[str, Finding]:
    with Store.open(database, read_only=not fix) as store:
        return {finding.kind: finding for finding in verify(store, fix=fix)}


def test_every_kind_of_finding(made_library: Path, tmp_path: Path, tagger: Tagger) -> None:
    library = Path(shutil.copytree(made_library, tmp_path / "music"))
    database = tmp_path / "data" / "tagger.db"
    assert tagger("run", *ANY, library).code == 0
    assert findings(database) == {}
    assert tagger("verify").code == 0

    by_hand = mutagen.File(library / "flac.flac")
    by_hand["genre"] = "Krautrock"
    by_hand.save()
    (library / "wav.wav").unlink()
    shutil.copy(library / "mp3.mp3", library / STRAY)
    with Store.open(database) as store:
        track = store.find(os.fsencode(library / "mp3.mp3"))
        assert track is not None and track.file_state is not None
        edit = TagEdit(track.file_state, GenreState(("Never written",)))
        run_id = store.begin_run("run", model_id=None, options={}, version="0")
        store.intend(run_id, track.id, track.path, edit, size_bytes=track.size_bytes, mtime_ns=track.mtime_ns)

    found = findings(database)
    assert set(found) == {"open edit", "changed by someone else", "gone", "stray copy"}
    assert not any(finding.fixed for finding in found.values())
    assert "Krautrock" in found["changed by someone else"].what
    assert (library / STRAY).exists(), "without --fix nothing is touched"

    fixed = tagger("verify", "--fix", "--json")
    assert fixed.code == 1, "what others changed cannot be fixed"
    assert {line["kind"]: line["fixed"] for line in fixed.lines} == {
        "open edit": True,
        "stray copy": True,
        "changed by someone else": False,
        "gone": False,
    }
    assert not (library / STRAY).exists()
    assert set(findings(database)) == {"changed by someone else", "gone"}
    assert read_tags(os.fsencode(library / "flac.flac")).genres == ("Krautrock",)


def test_prune_forgets_and_the_journal_remembers(made_library: Path, tmp_path: Path, tagger: Tagger) -> None:
    library = tmp_path / "music"
    library.mkdir()
    for name in ("mp3.mp3", "flac.flac", "m4a-aac.m4a"):
        shutil.copy(made_library / name, library)
    assert tagger("run", *ANY, library).code == 0
    assert "No track is missing" in tagger("prune", "--yes").out
    with Store.open(tmp_path / "data" / "tagger.db") as store:
        assert store.mark_missing([os.fsencode(library)], set()) == 3

    assert tagger("prune", "--dry-run").out.startswith("3 tracks would be forgotten")
    refused = tagger("prune", "--yes")
    assert refused.code == 3, "all of the library is missing: the disk may not be mounted"
    assert tagger("prune", "--yes", "--force").code == 0
    assert tagger("ls", "--json").lines == []

    undone = tagger("undo", "--yes", "--json")
    assert undone.code == 0, undone.err
    assert [line["after"] for line in undone.lines] == [[], [], []]
    assert read_tags(os.fsencode(library / "mp3.mp3")).genres == ()
