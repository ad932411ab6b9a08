"""What the page Model makes of a bundle's details: tables, and nothing where nothing was measured."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs the extra [dashboard]")

from dashboards import evaluation

STRANGERS = {"zouk": {"n_tracks": 24, "share_named": 0.08}}
LEFT_OUT = {
    "genres": {
        "jazz": {"others": {"accuracy": 0.7}, "strangers": {"n_tracks": 60, "share_named": 0.2}},
        "rock": {"others": {"accuracy": 0.7}, "strangers": {"n_tracks": 90, "share_named": 0.4}},
    }
}


def test_strangers_and_genres_never_learnt_stand_in_one_table() -> None:
    table = evaluation.strangers({"none_of_these": STRANGERS, "left_out": LEFT_OUT})
    assert table is not None
    assert table.values.tolist() == [
        ["zouk", 24, 0.08],
        ["jazz, where never learnt", 60, 0.2],
        ["rock, where never learnt", 90, 0.4],
    ]


def test_seeds_of_other_networks_are_said_to_be_of_others() -> None:
    found: dict[str, Any] = {"accuracy": [0.7, 0.72], "mean": 0.71, "deviation": 0.0141}
    assert evaluation.seeds({"seeds": found}).endswith("differ by chance alone")
    apart = evaluation.seeds({"seeds": found | {"n_tracks": 253, "by_source": {}, "apart": True}})
    assert "71.0% ± 1.4% of 253 tracks over 2" in apart and "apart from those" in apart
    assert evaluation.seeds({}) == evaluation.seeds({"seeds": []}) == ""


@pytest.mark.parametrize(
    ("details", "n_rows"),
    [
        ({}, 0),
        ({"none_of_these": {}}, 0),
        ({"none_of_these": STRANGERS}, 1),
        ({"none_of_these": STRANGERS, "left_out": {"collections": {}}}, 1),
        ({"left_out": LEFT_OUT}, 2),
    ],
)
def test_what_was_not_measured_is_not_shown(details: dict[str, Any], n_rows: int) -> None:
    table = evaluation.strangers(details)
    assert (0 if table is None else len(table)) == n_rows


FIVE = {"figures_are_of_n_networks": 5, "sources": ["gtzan", "unlabelled", "nonmusic"]}


def test_what_five_networks_heard_is_counted_once() -> None:
    found = {
        "unlabelled": {"n_tracks": 250, "share_named": 0.2},
        "speech": {"n_tracks": 215, "share_named": 0.05},
    }
    table = evaluation.strangers({"none_of_these": found}, FIVE)
    assert table is not None
    assert table.values.tolist() == [
        ["unlabelled", 250, 0.2],
        ["speech, each heard by 5 networks", 43, 0.05],
    ]
    once = evaluation.strangers({"none_of_these": found}, FIVE | {"figures_are_of_n_networks": 1})
    assert once is not None and list(once["n_tracks"]) == [250, 215]


def test_an_interval_is_as_wide_as_so_few_tracks_make_it() -> None:
    figures = {"n_tracks": 25, "accuracy": 0.6, "accuracy_95": [0.4, 0.76]}
    details = {"held_out": {"gtzan": figures}, "elsewhere": {"full-tracks": figures}}
    own, other = evaluation.measured(details, FIVE)
    assert own.title == "held out: gtzan (25 tracks)"
    assert other.title == "other collections: full-tracks (5 tracks, each heard by 5 networks)"
    table = evaluation.accuracies([own, other])
    assert list(table["set"]) == ["gtzan (25)", "full-tracks (5)"] and list(table["n_tracks"]) == [25, 5]
    assert list(table["low"]) == pytest.approx([0.4, 0.1528], abs=1e-4)
    assert list(table["high"]) == pytest.approx([0.76, 0.9578], abs=1e-4)
