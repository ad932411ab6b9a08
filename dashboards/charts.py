"""Charts of the collection, its map and its runs: data frames in, altair out; no Streamlit.

Colours come from `dashboards.palette`; text and grid take the colours of the page's theme, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboards import palette
from dashboards.queries import CONFIDENCE_STEPS

Figure = Any
"""A chart of altair, whose methods do not say which class of chart they return."""

NONE_SHOWN = "no genre"


def genre_colours(labels: Sequence[str], *, legend: alt.Legend | None = None) -> alt.Color:
    """The colours of these genres, in this order."""
    shown = [label or NONE_SHOWN for label in labels]
    return alt.Color(
        "genre:N",
        scale=alt.Scale(domain=shown, range=palette.colours(labels)),
        sort=shown,
        legend=legend,
        title=None,
    )


def _labels(frame: pd.DataFrame) -> list[str]:
    """Genres by name, none last: the order of every stack and legend."""
    return sorted((g for g in frame["genre"].unique() if g), key=str.casefold) + (
        [""] if (frame["genre"] == "").any() else []
    )


def _summed(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    summed = frame.groupby([by, "genre"])["n"].sum().reset_index()
    return summed.assign(genre=summed["genre"].where(summed["genre"] != "", NONE_SHOWN))


def genre_bars(overview: pd.DataFrame) -> Figure:
    """Tracks by the model's genre, the most first. `overview` as of `queries.overview`."""
    summed = overview.groupby("genre")["n"].sum().sort_values(ascending=False).reset_index()
    labels = list(summed["genre"])
    data = summed.assign(
        genre=[label or NONE_SHOWN for label in labels], share=summed["n"] / max(summed["n"].sum(), 1)
    )
    order = list(data["genre"])
    bars = alt.Chart(data, height=max(len(order), 1) * 26 + 14).encode(
        x=alt.X(
            "n:Q",
            title=None,
            axis=None,
            scale=alt.Scale(domainMax=float(data["n"].max() * 1.18) if len(data) else 1),
        ),
        y=alt.Y(
            "genre:N",
            sort=order,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelOverlap=False, labelLimit=140),
        ),
        tooltip=[
            alt.Tooltip("genre:N", title="Genre"),
            alt.Tooltip("n:Q", title="Tracks", format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    numbers = bars.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(
        text=alt.Text("n:Q", format=",")
    )
    return bars.mark_bar(cornerRadiusEnd=3, height=18).encode(color=genre_colours(labels)) + numbers


def confidence_histogram(overview: pd.DataFrame, *, height: int = 220) -> Figure:
    """How sure the model was, stacked by genre."""
    known = overview.dropna(subset=["step"])
    data = _summed(known, "step").assign(low=lambda d: d["step"] / CONFIDENCE_STEPS)
    data["high"] = data["low"] + 1 / CONFIDENCE_STEPS
    return (
        alt.Chart(data, height=height)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="confidence",
                axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
                scale=alt.Scale(domain=[0, 1]),
            ),
            x2="high:Q",
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s")),
            color=genre_colours(_labels(known)),
            tooltip=[
                alt.Tooltip("genre:N", title="Genre"),
                alt.Tooltip("low:Q", title="Confidence from", format=".0%"),
                alt.Tooltip("n:Q", title="Tracks", format=","),
            ],
        )
    )


def decades(overview: pd.DataFrame, *, height: int = 220) -> Figure:
    """Tracks by the decade in their tags, stacked by genre."""
    known = overview.dropna(subset=["decade"])
    data = _summed(known, "decade").assign(decade=lambda d: d["decade"].astype(int).astype(str) + "s")
    return (
        alt.Chart(data, height=height)
        .mark_bar()
        .encode(
            x=alt.X("decade:O", title="year in the tags", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s")),
            color=genre_colours(_labels(known)),
            tooltip=[
                alt.Tooltip("decade:O", title="Decade"),
                alt.Tooltip("genre:N", title="Genre"),
                alt.Tooltip("n:Q", title="Tracks", format=","),
            ],
        )
    )


def statuses(counts: Mapping[str, int]) -> Figure:
    """What became of the tracks, the most first. `counts` by the words of the status."""
    known = sorted(counts, key=lambda status: -counts[status])
    data = pd.DataFrame({"status": known, "n": [counts[status] for status in known]})
    bars = alt.Chart(data, height=max(len(data), 1) * 26 + 14).encode(
        x=alt.X(
            "n:Q",
            title=None,
            axis=None,
            scale=alt.Scale(domainMax=float(data["n"].max() * 1.2) if len(data) else 1),
        ),
        y=alt.Y(
            "status:N",
            sort=known,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelOverlap=False, labelLimit=160),
        ),
        tooltip=[alt.Tooltip("status:N", title="Status"), alt.Tooltip("n:Q", title="Tracks", format=",")],
    )
    colours = [palette.STATUSES.get(name, palette.NO_GENRE) for name in known]
    coloured = bars.mark_bar(cornerRadiusEnd=3, height=18).encode(
        color=alt.Color("status:N", scale=alt.Scale(domain=known, range=colours), legend=None)
    )
    return coloured + bars.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(
        text=alt.Text("n:Q", format=",")
    )


def collection_map(points: pd.DataFrame, *, height: int = 620) -> Figure:
    """Dots of tracks on a plane, coloured by genre; a click selects one as ``track``.

    Parameters
    ----------
    points : DataFrame
        Columns x, y, id, title, artist, genre, sure (0-1 or missing).
    """
    data = points.assign(genre=[g or NONE_SHOWN for g in points["genre"]])
    chosen = alt.selection_point(name="track", fields=["id"], on="click", empty=False)
    from_legend = alt.selection_point(fields=["genre"], bind="legend")
    axis = alt.Axis(labels=False, ticks=False, domain=False, grid=False, title=None)
    size = 40 if len(points) > 1500 else 90
    return (
        alt.Chart(data, height=height)
        .mark_circle(stroke="#ffffff", strokeWidth=0.4)
        .encode(
            x=alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[-1.06, 1.06])),
            y=alt.Y("y:Q", axis=axis, scale=alt.Scale(domain=[-1.06, 1.06])),
            color=genre_colours(
                _labels(points),
                legend=alt.Legend(orient="bottom", columns=4, symbolType="circle", symbolOpacity=1),
            ),
            opacity=alt.condition(from_legend, alt.value(0.85), alt.value(0.08)),
            size=alt.condition(chosen, alt.value(320), alt.value(size)),
            tooltip=[
                alt.Tooltip("title:N", title="Title"),
                alt.Tooltip("artist:N", title="Artist"),
                alt.Tooltip("genre:N", title="Genre"),
                alt.Tooltip("sure:Q", title="Confidence", format=".0%"),
            ],
        )
        .add_params(chosen, from_legend)
    )


def run_bars(counts: pd.DataFrame, *, height: int = 300) -> Figure:
    """Outcomes of runs. `counts` has the columns run (a text), status (in words), n; in the order of runs."""
    names = [name for name in palette.STATUSES if name in set(counts["status"])]
    names += sorted(set(counts["status"]) - set(names))
    return (
        alt.Chart(counts, height=height)
        .mark_bar(size=min(40, 600 // max(counts["run"].nunique(), 1)))
        .encode(
            x=alt.X(
                "run:N",
                sort=list(dict.fromkeys(counts["run"])),
                title="run",
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s")),
            color=alt.Color(
                "status:N",
                scale=alt.Scale(
                    domain=names, range=[palette.STATUSES.get(n, palette.NO_GENRE) for n in names]
                ),
                legend=alt.Legend(orient="bottom", columns=5, symbolType="square"),
                title=None,
            ),
            order=alt.Order("n:Q", sort="descending"),
            tooltip=[
                alt.Tooltip("run:N", title="Run"),
                alt.Tooltip("status:N", title="Status"),
                alt.Tooltip("n:Q", title="Tracks", format=","),
            ],
        )
    )
