"""Addresses of clusters, and paths that are called otherwise there."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.cluster.elsewhere import at_home, check_address, check_maps, to_there
from tagger.tracks import Heard, Status

PATHS = st.lists(st.binary(min_size=1, max_size=6).map(lambda b: b.translate(None, b"/\0")), max_size=4).map(
    lambda parts: b"/" + b"/".join(part for part in parts if part not in (b"", b".", b".."))
)


@pytest.mark.parametrize(
    "address", ["tcp://nas:8786", "tls://10.0.0.1:1", "tcp://[::1]:65535", "tcp://a.b-c:9"]
)
def test_addresses(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "value", ["nas", "nas:8786", "tcp://nas", "http://nas:1", "tcp://a b:1", "", 5, None]
)
def test_what_is_no_address(value: object) -> None:
    with pytest.raises(ValueError, match="but must be an address such as 'tcp://nas:8786'"):
        check_address(value)


def test_maps() -> None:
    assert check_maps(("/mnt/nas/=/data//music",)) == ((b"/mnt/nas", b"/data/music"),)
    assert check_maps(["/a=b=/c=/d"]) == ((b"/a=b", b"/c=/d"),), "the first sign between two full paths"
    assert check_maps(["/caf\udce9=/x", "/caf\udce9=/x"]) == ((b"/caf\xe9", b"/x"),)
    assert check_maps([]) == ()


@pytest.mark.parametrize("value", ["/a=/b", [""], ["/a"], ["a=/b"], ["/a=b"], [3], ["/a\0=/b"], 7])
def test_what_is_no_map(value: object) -> None:
    with pytest.raises(ValueError, match="but must be pairs of full paths"):
        check_maps(value)


def test_the_longest_folder_counts_and_whole_names_alone() -> None:
    maps = ((b"/", b"/all"), (b"/mnt/nas", b"/data"), (b"/mnt/nas/x", b"/"))
    assert to_there(b"/mnt/nas/a/b.mp3", maps) == b"/data/a/b.mp3"
    assert to_there(b"/mnt/nas/x/b.mp3", maps) == b"/b.mp3"
    assert to_there(b"/mnt/nas", maps) == b"/data"
    assert to_there(b"/mnt/nasty/b.mp3", maps) == b"/all/mnt/nasty/b.mp3"
    assert to_there(b"/x", ()) == b"/x"
    assert to_there(b"M:\\jazz\\b.mp3", ((b"M:\\", b"/data"),), b"\\") == b"/data/jazz/b.mp3"


@given(PATHS, PATHS, PATHS)
def test_there_and_back_is_where_it_began(here: bytes, there: bytes, rest: bytes) -> None:
    path = os.path.join(here, rest[1:]) if rest != b"/" else here
    moved = to_there(path, [(here, there)])
    assert moved == os.path.join(there, rest[1:]) if rest != b"/" else there
    assert to_there(moved, [(there, here)]) == path


def test_a_report_comes_home() -> None:
    heard = Heard(b"/data/caf\xe9.mp3", failure=Status.UNREADABLE, reason=r"/data/caf\xe9.mp3: is damaged")
    home = at_home(heard, b"/mnt/caf\xe9.mp3", b"/data/caf\xe9.mp3")
    assert (home.path, home.reason) == (b"/mnt/caf\xe9.mp3", r"/mnt/caf\xe9.mp3: is damaged")
    assert home.failure is Status.UNREADABLE
