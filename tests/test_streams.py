"""Standard streams that are closed, full or of another encoding: a sentence, no traceback, the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tagger.tags import read_tags
from tests import media
from tests.collections_made import Made, make_database, some_tracks
from tests.conftest import environment

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's devices and a shell")

SAXOPHONE = "/music/\N{SAXOPHONE} \u2192.mp3"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_SPACE = "tagger: The output cannot be written: No space left on device.\n"
CLOSED = "tagger: The output cannot be written: Bad file descriptor.\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose list is longer than what is kept for a flush."""
    home = tmp_path_factory.mktemp("streams")
    (home / "data").mkdir()
    odd = [Made(SAXOPHONE.encode(), "jazz", 0.9), Made(b"/music/\xff.mp3", "jazz", 0.9)]
    make_database(home / "data" / "tagger.db", [*some_tracks(200), *odd])
    return home


def shell(home: Path, command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command line with `tagger` in it."""
    script = f'tagger() {{ "{sys.executable}" -m tagger "$@"; }}\n{command}'
    return subprocess.run(
        ["bash", "-c", script], env=environment(home) | env, capture_output=True, check=False, timeout=240
    )


@pytest.mark.parametrize("command", ["status", "ls", "ls --json", "export", "config show", "--help", "ls -h"])
@pytest.mark.parametrize(("redirected", "said"), [(">/dev/full", NO_SPACE), (">&-", CLOSED)])
def test_output_that_cannot_be_written_is_a_sentence(
    home: Path, command: str, redirected: str, said: str
) -> None:
    done = shell(home, f"tagger {command} {redirected}")
    assert (done.returncode, done.stderr.decode()) == (3, said)


def test_a_run_that_can_say_nothing_is_one_that_failed(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    song = Path(os.fsdecode(media.make(tmp_path / "music" / "a.flac", "flac", seconds=5)))
    before = song.read_bytes()
    command = f"tagger run --threshold 0 --margin 0 '{song.parent}'"
    loud = shell(tmp_path, f"{command} >/dev/full")
    assert (loud.returncode, loud.stderr.decode()) == (3, NO_SPACE)
    assert song.read_bytes() == before
    quiet = shell(tmp_path, f"{command} --quiet >&-")
    assert (quiet.returncode, quiet.stderr) == (0, b"") and read_tags(bytes(song)).genres


def test_nobody_hears_errors_where_standard_error_is_lost(home: Path) -> None:
    for redirected in ("2>/dev/full", "2>&-", ">&- 2>&- <&-"):
        done = shell(home, f"tagger ls /nope {redirected}")
        assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")
    assert shell(home, "tagger ls --limit 1 2>&-").returncode == 0


def test_standard_input_that_is_closed_is_a_sentence(home: Path, tmp_path: Path) -> None:
    song = media.make(tmp_path / "a.flac", "flac", seconds=5)
    done = shell(tmp_path, f"tagger correct '{os.fsdecode(song)}' Jazz && tagger undo <&-")
    assert done.returncode == 2 and b"Nobody can be asked here" in done.stderr
    heard = shell(home, "tagger listen - <&-")
    assert heard.returncode == 3 and heard.stderr.startswith(
        b"tagger: Standard input cannot be read: bad file"
    )


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "latin-1"}, ASCII], ids=["latin-1", "ascii"])
@pytest.mark.parametrize("command", ["ls", "ls --json", "export", "status", f"explain '{SAXOPHONE}'"])
def test_what_the_encoding_lacks_is_escaped(home: Path, env: dict[str, str], command: str) -> None:
    done = shell(home, f"tagger {command}", **env)
    assert done.returncode == 0 and not done.stderr
    if command == "ls":
        assert rb"\U0001f3b7 \u2192.mp3" in done.stdout


@pytest.mark.parametrize("command", ["ls", "ls --json", "export", "export --format m3u8"])
def test_in_utf8_every_locale_gives_the_same_bytes(home: Path, command: str) -> None:
    given = [shell(home, f"tagger {command}", LC_ALL=locale).stdout for locale in ("C.UTF-8", "C")]
    assert (given[0] == given[1] and "\N{SAXOPHONE}".encode() in given[0]) or "--json" in command
