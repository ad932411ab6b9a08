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
