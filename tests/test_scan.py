"""The walk over a real tree of hostile and ordinary entries."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger import scan as scan_module
from tagger.errors import ConfigError
from tagger.scan import IGNORE_FILE, SERVICE_FOLDERS, scan
from tagger.tracks import Track

FLAC = b"fLaC" + bytes(60)

_opened: list[bytes] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], bytes | str):
        _opened.append(os.fsencode(arguments[0]))


sys.addaudithook(_hook)


@pytest.fixture
def opened() -> Iterator[list[bytes]]:
    """Paths of all files this process opens during the test, by whatever function."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    folder = tmp_path.resolve() / "music"
    folder.mkdir()
    return os.fsencode(folder)


def put(folder: bytes, name: str | bytes, content: bytes = b"x") -> bytes:
    path = os.path.join(folder, os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(content)
    return path


def link(target: bytes | str, folder: bytes, name: str | bytes) -> bytes:
    path = os.path.join(folder, os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(os.fsencode(target), path)
    return path


class Troubles(list[tuple[bytes, str]]):
    def __call__(self, path: bytes, sentence: str) -> None:
        assert "\n" not in sentence and sentence.endswith(".")
        self.append((path, sentence))


def walk(*roots: bytes, ignore: tuple[str, ...] = ()) -> list[bytes]:
    """Paths relative to the first root; no trouble is expected."""
    troubles = Troubles()
    found = [track.path for track in scan(roots, ignore=ignore, on_trouble=troubles)]
    assert troubles == []
    assert len(found) == len(set(found))
    return [os.path.relpath(path, roots[0]) for path in found]


def test_order_is_by_bytes_files_before_folders(root: bytes) -> None:
    for name in (
        "b/2.mp3",
        "b/10.mp3",
        "b/a/1.mp3",
        "a/z.mp3",
        "z.mp3",
        "Z.mp3",
        "é.mp3",
        "a.mp3",
        "b.mp3/in.mp3",
    ):
        put(root, name)
    expected = [
        "Z.mp3",
        "a.mp3",
        "z.mp3",
        "é.mp3",
        "a/z.mp3",
        "b/10.mp3",
        "b/2.mp3",
        "b/a/1.mp3",
        "b.mp3/in.mp3",
    ]
    assert [os.fsdecode(path) for path in walk(root)] == expected
    assert walk(root) == walk(root)


def test_a_track_has_the_files_stat(root: bytes) -> None:
    path = put(root, "a/x.mp3", b"12345")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    os.link(path, os.path.join(root, b"second name"))
    assert list(scan([root])) == [Track(path, root, 5, 1_234_567_890_123_456_789, n_links=2)]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows only UTF-8 names")
def test_names_of_all_kinds(root: bytes) -> None:
    names = [
        b"not utf-8 \xff\xfe.mp3",
        b"line\nfeed.mp3",
        b"-n.mp3",
        "🎵.mp3".encode(),
        b"a" * 251 + b".mp3",
        b"tab\t and \x1b.mp3",
        b" .mp3",
        b"x.MP3",
        b"*.mp3",
    ]
    for name in names:
        put(root, name)
        put(root, b"deep\xff/line\nfeed/" + name)
    put(root, IGNORE_FILE.decode(), b"*.nothing\n")  # so that all names meet pathspec
    found = walk(root)
    assert sorted(found) == sorted(names + [b"deep\xff/line\nfeed/" + name for name in names])


def test_what_is_no_regular_file_is_neither_found_nor_opened(root: bytes, opened: list[bytes]) -> None:
    good = put(root, "good.mp3")
    for name in (b"pipe.mp3", b"pipe"):
        os.mkfifo(os.path.join(root, name))
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # names of sockets are short
        server.bind("socket.mp3")
        os.chdir(here)
        for target, link_name in [
            ("/dev/zero", "zero.mp3"),
            ("/dev/zero", "zero"),
            ("nothing", "dangling.mp3"),
            ("self.mp3", "self.mp3"),
            ("ping.mp3", "pong.mp3"),
            ("pong.mp3", "ping.mp3"),
            ("good.mp3/below", "below a file.mp3"),
            ("pipe.mp3", "to a pipe.mp3"),
            ("socket.mp3", "to a socket.mp3"),
            (".", "here"),
            ("..", "around"),
            ("/", "everything"),
        ]:
            link(target, root, link_name)
        outside = os.path.join(os.path.dirname(root), b"outside pipe.mp3")
        os.mkfifo(outside)
        link(outside, root, "pipe outside.mp3")
        opened.clear()
        assert walk(root) == [b"good.mp3"]
    assert opened == []
    assert os.path.exists(good)


def test_hidden_and_service_entries_are_left_out(root: bytes) -> None:
    put(root, "x.mp3")
    for name in (
        ".x.mp3",
        "._x.mp3",
        ".hidden/x.mp3",
        *(os.fsdecode(folder) + "/x.mp3" for folder in SERVICE_FOLDERS),
    ):
        put(root, name)
    assert walk(root) == [b"x.mp3"]
    hidden = os.path.join(root, b".hidden")
    assert walk(hidden) == [b"x.mp3"], "a folder that is named itself is walked"


def test_only_what_the_suffix_does_not_tell_is_opened(root: bytes, opened: list[bytes]) -> None:
    for name in ("a.mp3", "b.FLAC", "c.m4a", "empty.ogg"):
        put(root, name, b"")
    for name in ("cover.jpg", "cue.cue", "x.mp3.part", "song.mp3~", "data.db", "Thumbs.db", "film.mkv"):
        put(root, name, FLAC)
    no_suffix = put(root, "no suffix", FLAC)
    odd = put(root, "01. Song", FLAC)
    text = put(root, "text", b"only words")
    opened.clear()
    assert walk(root) == [b"01. Song", b"a.mp3", b"b.FLAC", b"c.m4a", b"empty.ogg", b"no suffix"]
    assert sorted(opened) == sorted([no_suffix, odd, text])

    opened.clear()
    known = {no_suffix, odd}
    tracks = list(scan([root], known=known.__contains__))
    assert {track.path for track in tracks} >= known and len(tracks) == 6
    assert opened == [text]


def test_links_out_of_the_roots_are_followed_once_to_the_real_path(root: bytes, tmp_path: Path) -> None:
    outside = os.fsencode(tmp_path.resolve() / "outside")
    inner = put(outside, "album/1.mp3")
    single = put(outside, "single.mp3")
    put(outside, "other.mp3")
    put(root, "real/x.mp3")
    link(os.path.join(outside, b"album"), root, "1 album")
    link(os.path.join(outside, b"album"), root, "2 again")
    link(inner, root, "inner.mp3")
    link(single, root, "3.mp3")
    link(single, root, "4.mp3")
    link("real", root, "5 inside")
    link("real/x.mp3", root, "y.mp3")
    link(root, outside, "album/back")
    tracks = list(scan([root]))
    assert [track.path for track in tracks] == [single, inner, os.path.join(root, b"real/x.mp3")]
    assert {track.root for track in tracks} == {root}

    # A link to the folder around what a link has led to brings the rest of it, and nothing twice.
    link(outside, root, "6 all")
    assert [os.path.basename(path) for path in walk(root)] == [
        b"single.mp3",
        b"1.mp3",
        b"other.mp3",
        b"x.mp3",
    ]


def test_links_between_folders_outside_end(root: bytes, tmp_path: Path) -> None:
    a, b = (os.fsencode(tmp_path.resolve() / name) for name in "ab")
    put(a, "1.mp3"), put(b, "2.mp3")
    link(b, a, "to b"), link(a, b, "to a"), link(a, root, "to a"), link(b, root, "to b")
    assert sorted(os.path.basename(path) for path in walk(root)) == [b"1.mp3", b"2.mp3"]


def test_rules_see_the_way_through_links(root: bytes, tmp_path: Path) -> None:
    outside = os.fsencode(tmp_path.resolve() / "outside")
    put(outside, "1.mp3"), put(outside, "2.mp3"), put(outside, "live/3.mp3")
    link(outside, root, "linked")
    put(root, ".taggerignore", b"/linked/2.mp3\nlive/\n")
    assert [os.path.basename(path) for path in walk(root)] == [b"1.mp3"]
    put(root, ".taggerignore", b"linked\n")
    assert walk(root) == []


def test_overlapping_and_repeated_roots_yield_each_file_once(root: bytes, tmp_path: Path) -> None:
    for name in ("a/1.mp3", "a/b/2.mp3", "3.mp3"):
        put(root, name)
    inner = os.path.join(root, b"a")
    alias = link(root, os.fsencode(tmp_path), "alias")
    single = os.path.join(root, b"a/1.mp3")
    everything = {b"3.mp3", b"a/1.mp3", b"a/b/2.mp3"}
    for roots in [
        (root, root),
        (root, inner),
        (root, alias, inner + b"/../a/"),
        (root, os.path.join(alias, b"a"), single),
        (root, single, single, os.path.join(alias, b"a/1.mp3")),
    ]:
        assert set(walk(*roots)) == everything
    assert {track.path: track.root for track in scan([root, inner])}[single] == inner
    assert [track.path for track in scan([alias])] == [os.path.join(root, name) for name in walk(root)]


def test_an_inner_root_is_walked_though_the_outer_one_ignores_it(root: bytes) -> None:
    put(root, "a/1.mp3"), put(root, ".b/2.mp3"), put(root, ".taggerignore", b"a/\n")
    assert walk(root) == []
    assert walk(root, os.path.join(root, b"a"), os.path.join(root, b".b")) == [b"a/1.mp3", b".b/2.mp3"]


def test_a_file_may_be_named(root: bytes) -> None:
    path = put(root, ".hidden.mp3")
    put(root, ".taggerignore", b"*\n")
    assert [(track.path, track.root) for track in scan([path])] == [(path, root)]
    text, troubles = put(root, "words.txt"), Troubles()
    os.mkfifo(os.path.join(root, b"pipe.mp3"))
    assert list(scan([text, os.path.join(root, b"pipe.mp3")], on_trouble=troubles)) == []
    assert [sentence.partition(": ")[2] for _, sentence in troubles] == [
        "is not a kind of audio file known here."
    ] * 2


def test_relative_roots_become_full_paths(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "-a/x.mp3")
    monkeypatch.chdir(os.fsdecode(root))
    assert [track.path for track in scan([b"-a", b"."])] == [os.path.join(root, b"-a/x.mp3")]


def test_roots_that_cannot_be_scanned_are_told_by_the_name_given(root: bytes) -> None:
    put(root, "x.mp3"), link("loop", root, "loop")
    troubles = Troubles()
    bad = [root + b"/none\xff", b"", b"nul\0", root + b"/loop", root + b"/x.mp3/y", b"x" * 5000]
    assert len(list(scan([*bad, root], on_trouble=troubles))) == 1
    assert [path for path, _ in troubles] == bad
    assert "none\\xff: cannot be scanned: there is no such file or folder." in troubles[0][1]


def _denied(*denied: bytes) -> Callable[[bytes], object]:
    """Root may read everything, so the refusal is put in where the system's would come from."""
    real = os.scandir

    def scandir(path: bytes) -> object:
        if path in denied:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    return scandir


def test_an_unreadable_folder_costs_no_other(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.mp3", "b/2.mp3", "c/3.mp3"):
        put(root, name)
    denied = os.path.join(root, b"b")
    monkeypatch.setattr(os, "scandir", _denied(denied))
    troubles = Troubles()
    assert [track.path[-5:] for track in scan([root], on_trouble=troubles)] == [b"1.mp3", b"3.mp3"]
    assert [path for path, _ in troubles] == [denied]
    assert "the folder cannot be read: permission denied" in troubles[0][1]
    assert len(list(scan([root]))) == 2, "nobody need listen"

    troubles.clear()
    given = root + b"/../music"
    monkeypatch.setattr(os, "scandir", _denied(root))
    assert list(scan([given], on_trouble=troubles)) == []
    assert [path for path, _ in troubles] == [given]


def test_folders_without_permission(root: bytes) -> None:
    put(root, "closed/1.mp3"), put(root, "listed/2.mp3"), put(root, "open/3.mp3")
    closed, listed = os.path.join(root, b"closed"), os.path.join(root, b"listed")
    try:
        os.chmod(closed, 0)
        os.chmod(listed, 0o400)
        if os.access(closed, os.R_OK):
            pytest.skip("this user may read everything")
        troubles = Troubles()
        assert [track.path[-5:] for track in scan([root], on_trouble=troubles)] == [b"3.mp3"]
        assert [path for path, _ in troubles] == [closed, listed]
    finally:
        os.chmod(closed, 0o700)
        os.chmod(listed, 0o700)


def test_an_unreadable_file_without_suffix_is_told(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: bytes) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    path = put(root, "unknown", FLAC)
    put(root, "x.mp3")
    monkeypatch.setattr(scan_module, "by_content", refuse)
    troubles = Troubles()
    assert len(list(scan([root], on_trouble=troubles))) == 1
    assert [told for told, _ in troubles] == [path]


def test_what_vanishes_meanwhile_is_passed_over(root: bytes) -> None:
    for name in ("1.mp3", "2.mp3", "3", "a/4.mp3", "b/5.mp3", ".taggerignore"):
        put(root, name, FLAC if name != ".taggerignore" else b"")
    troubles = Troubles()
    walker = scan([root], on_trouble=troubles)
    assert next(walker).path.endswith(b"1.mp3")
    for gone in (b"2.mp3", b"3", b"a/4.mp3"):
        os.unlink(os.path.join(root, gone))
    os.rmdir(os.path.join(root, b"a"))
    assert [track.path[-7:] for track in walker] == [b"b/5.mp3"]
    assert troubles == []


def test_a_folder_replaced_by_a_pipe_meanwhile_does_not_hang(root: bytes) -> None:
    for name in ("1.mp3", "2", "a/3.mp3"):
        put(root, name, FLAC)
    walker = scan([root])
    next(walker)
    os.unlink(os.path.join(root, b"2"))
    os.mkfifo(os.path.join(root, b"2"))
    os.unlink(os.path.join(root, b"a/3.mp3"))
    os.rmdir(os.path.join(root, b"a"))
    os.mkfifo(os.path.join(root, b"a"))
    assert list(walker) == []


def test_ignore_files_nest_and_the_given_patterns_go_before(root: bytes) -> None:
    for name in ("a/1.live.mp3", "a/2.mp3", "b/1.live.mp3", "b/keep/3.live.mp3", "b/wav/4.wav", "c/5.wav"):
        put(root, name)
    put(root, ".taggerignore", b"\xef\xbb\xbf# no concerts\r\n*.live.mp3\r\n/c/\r\n")
    put(root, "b/.taggerignore", b"!keep/*.live.mp3\nwav")
    assert walk(root) == [b"a/2.mp3", b"b/keep/3.live.mp3"]
    assert walk(root, ignore=("!c/", "/a/2*")) == [b"b/keep/3.live.mp3", b"c/5.wav"]
    assert walk(os.path.join(root, b"b")) == [b"1.live.mp3", b"keep/3.live.mp3"]


def test_a_pattern_may_name_bytes_that_are_no_text(root: bytes) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS allows only UTF-8 names")
    put(root, b"x\xff.mp3"), put(root, b"x\xfe.mp3"), put(root, b"line\nfeed/x.log.mp3")
    put(root, ".taggerignore", b"x\xff*\n*.log.mp3")
    assert walk(root) == [b"x\xfe.mp3"]


def test_what_may_not_be_ignored_wrongly(root: bytes) -> None:
    """Where an ignore file cannot be read, nobody knows what must be left alone: its folder is."""
    put(root, "a/x.mp3"), put(root, "b/y.mp3"), put(root, "c/z.mp3"), put(root, "d/w.mp3")
    os.mkfifo(os.path.join(root, b"a/.taggerignore"))
    link("/dev/zero", root, "b/.taggerignore")
    put(root, "c/.taggerignore", b"x" * (2 << 20))
    put(root, "d/.taggerignore", b"\\\n[z-a]\n")
    troubles, warnings = Troubles(), list[str]()
    found = scan([root], on_trouble=troubles, warn=warnings.append)
    assert [track.path[-7:] for track in found] == [b"d/w.mp3"]
    assert [os.path.relpath(path, root) for path, _ in troubles] == [b"a", b"b", b"c"]
    assert all("/.taggerignore: " in sentence for _, sentence in troubles)
    (warning,) = warnings
    assert "d/.taggerignore: '\\\\' is not a pattern; it matches nothing" in warning


def test_a_wrong_pattern_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigError, match="is not a pattern to ignore files by"):
        scan([b"/none"], ignore=["*.wav", "!"])


def test_depth_has_no_limit_of_ours(root: bytes) -> None:
    put(root, "y.mp3")
    here = Path.cwd()
    os.chdir(root)
    try:
        # Relative steps, for the full path grows longer than the system takes at once.
        for depth in range(1, 2401):
            os.mkdir("d")
            os.chdir("d")
            if depth == 1500:
                put(b".", "x.mp3")
        troubles = Troubles()
        found = [os.path.relpath(track.path, root) for track in scan([root], on_trouble=troubles)]
    finally:
        for depth in range(2400, 0, -1):  # pytest itself cannot remove so deep a tree
            if depth == 1500:
                os.unlink("x.mp3")
            os.chdir("..")
            os.rmdir("d")
        os.chdir(here)
    assert found == [b"y.mp3", b"d/" * 1500 + b"x.mp3"]
    assert len(troubles) == 1 and "the name is too long" in troubles[0][1]


_NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"/\0.") and name not in SERVICE_FOLDERS
)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows only UTF-8 names")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_NAMES, min_size=1, max_size=3), max_size=8))
def test_any_tree_is_found_whole_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, places: list[list[bytes]]
) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("tree").resolve())
    wanted = {b"/".join(place) + b".mp3" for place in places}
    for name in wanted:
        put(root, name)
    found = [os.path.relpath(track.path, root) for track in scan([root], ignore=["*.wav"])]
    assert found == sorted(wanted, key=lambda name: _order(name))


def _order(name: bytes) -> list[tuple[int, bytes]]:
    *folders, file = name.split(b"/")
    return [(1, folder) for folder in folders] + [(0, file)]


def _wide(root: bytes, n_folders: int, n_files: int) -> None:
    for i in range(n_folders):
        folder = os.path.join(root, b"%04d" % i)
        os.mkdir(folder)
        for j in range(n_files):
            os.close(os.open(os.path.join(folder, b"%03d.mp3" % j), os.O_CREAT | os.O_WRONLY))


def test_memory_does_not_grow_with_the_number_of_files(root: bytes) -> None:
    _wide(root, 10, 50)
    small = _peak_bytes(root)
    for i in range(10, 100):
        os.symlink(
            b"0001", os.path.join(root, b"%04d" % i)
        )  # folders still to enter are remembered; links are not
    os.rename(os.path.join(root, b"0009"), os.path.join(root, b"deep"))
    _wide(os.path.join(root, b"deep"), 9, 50)
    for i in range(9):
        _wide(os.path.join(root, b"deep", b"%04d" % i), 9, 50)
    assert _peak_bytes(root) < small + 60_000


def _peak_bytes(root: bytes) -> int:
    tracemalloc.start()
    count = sum(1 for _ in scan([root]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count
    return peak


@pytest.mark.slow
def test_speed_on_20_000_files(root: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    _wide(root, 400, 50)
    put(root, ".taggerignore", b"*.wav\n/Audiobooks/\n")

    def plain(folder: bytes) -> int:
        n = 0
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    n += plain(entry.path)
                else:
                    n += entry.stat(follow_symlinks=False).st_nlink == 1
        return n

    def timed(count: Callable[[], int]) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            assert count() >= 20_000
            best = min(best, time.perf_counter() - start)
        return best

    base_s = timed(lambda: plain(root))
    ours_s = timed(lambda: sum(1 for _ in scan([root])))
    with capsys.disabled():
        print(f"\nscan of 20,000 files: {ours_s:.2f} s; scandir and stat alone: {base_s:.2f} s")
    assert ours_s < 10 * base_s
