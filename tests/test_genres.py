"""Names written to files: no name may come out of a file as another genre, or as two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.errors import ConfigError
from tagger.genres import (
    DEFAULT_NAMES,
    MAX_NAME_CHARS,
    display_name,
    genre_key,
    name_problem,
    same_genre,
    unknown_labels,
)


def test_defaults_of_all_labels_are_writable_and_distinct() -> None:
    names = [display_name(label) for label in DEFAULT_NAMES]
    assert len(DEFAULT_NAMES) == 11
    assert names == list(DEFAULT_NAMES.values())
    assert len({genre_key(name) for name in names if name}) == 11
    assert display_name("hiphop") == "Hip-Hop"


def test_the_users_mapping_goes_before_the_defaults() -> None:
    assert display_name("hiphop", {"hiphop": "Rap"}) == "Rap"
    assert display_name("hiphop", {"Hip-Hop": " Rap "}) == "Rap"
    assert display_name("jazz", {"hiphop": "Rap"}) == "Jazz"


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_name_drops_the_label(nothing: str) -> None:
    assert display_name("disco", {"disco": nothing}) is None


def test_a_users_own_genre_is_its_own_name() -> None:
    assert display_name("Zouk Love") == "Zouk Love"
    assert display_name("🏴‍☠️ Metal") == "🏴‍☠️ Metal"


def test_whitelist_decides_and_spells() -> None:
    assert display_name("hiphop", whitelist=["hip hop", "Rock"]) == "hip hop"
    assert display_name("jazz", whitelist=["hip hop", "Rock"]) is None
    assert display_name("jazz", {"jazz": "Rock"}, whitelist=["Rock"]) == "Rock"


@pytest.mark.parametrize(
    "name",
    [
        "Rock/Pop",
        "Rock;Pop",
        "Rock, Pop",
        "Ro\0ck",
        "Ro\nck",
        "Ro\x1bck",
        "Ro\u2028ck",
        "Ro\udcffck",
        "17",
        "(17)",
        "RX",
        "x" * (MAX_NAME_CHARS + 1),
    ],
)
def test_unwritable_names_are_refused_with_the_label_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^Genre 'pop': the name .*; give it another name") as caught:
        display_name("pop", {"pop": name})
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        display_name(name)


def test_a_name_of_the_greatest_length_is_fine() -> None:
    assert name_problem("x" * MAX_NAME_CHARS) == ""
    assert name_problem("80s") == ""
    assert name_problem(" \t") == "is empty"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Hip Hop", "hip-hop", True),
        ("hiphop", "Hip_Hop", True),
        ("Hip\u2010Hop", "Hip-Hop", True),
        ("Müsik", "Mu\u0308sik", True),
        ("Rock", "Rock & Roll", False),
        ("Pop", "K-Pop", False),
        ("-", "", False),
    ],
)
def test_same_genre(a: str, b: str, same: bool) -> None:
    assert same_genre(a, b) is same


@given(st.text(), st.text())
def test_same_genre_is_an_equivalence(a: str, b: str) -> None:
    assert same_genre(a, a)
    assert same_genre(a, b) == same_genre(b, a)


@given(st.text(max_size=80))
def test_whatever_the_label_a_written_name_can_stand_alone_in_a_tag(label: str) -> None:
    try:
        name = display_name(label)
    except ConfigError:
        return
    assert name is not None
    assert name == name.strip() and 0 < len(name) <= MAX_NAME_CHARS
    assert not set(name) & set(";/,\0\n\r")
    name.encode("utf-8")


def test_labels_the_model_does_not_know_are_named_with_the_nearest() -> None:
    labels = ["hiphop", "jazz", "rock"]
    assert unknown_labels({"Hip-Hop": "Rap", "jaz": "Jazz", "zouk": "Zouk"}, labels) == {
        "jaz": "jazz",
        "zouk": "",
    }
