"""Charts of the collection, of one track and of the map: data frames in, altair out; no Streamlit.

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
_AXIS = 54
"""Room for the labels beside the two charts of a track, so that their seconds stand below each other."""


def _genre_colours(labels: Sequence[str], *, legend: alt.Legend | None = None) -> alt.Color:
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
    bars = alt.Chart(data, height=max(len(order), 1) * 26).encode(
        x=alt.X(
            "n:Q",
            title=None,
            axis=None,
            scale=alt.Scale(domainMax=float(data["n"].max() * 1.18) if len(data) else 1),
        ),
        y=alt.Y("genre:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=140)),
        tooltip=[
            alt.Tooltip("genre:N", title="Genre"),
            alt.Tooltip("n:Q", title="Tracks", format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    numbers = bars.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(
        text=alt.Text("n:Q", format=",")
    )
    return bars.mark_bar(cornerRadiusEnd=3, height=18).encode(color=_genre_colours(labels)) + numbers


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
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, format="~s")),
            color=_genre_colours(_labels(known)),
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
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, format="~s")),
            color=_genre_colours(_labels(known)),
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
    bars = alt.Chart(data, height=max(len(data), 1) * 26).encode(
        x=alt.X(
            "n:Q",
            title=None,
            axis=None,
            scale=alt.Scale(domainMax=float(data["n"].max() * 1.2) if len(data) else 1),
        ),
        y=alt.Y("status:N", sort=known, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=160)),
        tooltip=[alt.Tooltip("status:N", title="Status"), alt.Tooltip("n:Q", title="Tracks", format=",")],
    )
    colours = [palette.STATUSES.get(name, palette.NO_GENRE) for name in known]
    coloured = bars.mark_bar(cornerRadiusEnd=3, height=18).encode(
        color=alt.Color("status:N", scale=alt.Scale(domain=known, range=colours), legend=None)
    )
    return coloured + bars.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(
        text=alt.Text("n:Q", format=",")
    )


def _seconds_axis(duration_s: float, *, labels: bool = True) -> alt.X:
    clock = "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') + floor(datum.value % 60)"
    return alt.X(
        "second:Q",
        scale=alt.Scale(domain=[0, max(duration_s, 0.1)], nice=False),
        title=None,
        axis=alt.Axis(labelExpr=clock, grid=False, labels=labels, ticks=labels, tickCount=8),
    )


def activations(timeline: pd.DataFrame, duration_s: float, *, height: int = 300) -> Figure:
    """Genre over time as a stacked area; the pointer shows its second, and a click selects it as ``at``.

    Parameters
    ----------
    timeline : DataFrame
        Columns second, genre, p, clock as of `dashboards.timeline.timeline`, the genres in order.
    """
    labels = list(dict.fromkeys(timeline["genre"]))
    pointer = alt.selection_point(
        name="pointer", fields=["second"], on="pointermove", clear="pointerout", nearest=True, empty=False
    )
    clicked = alt.selection_point(name="at", fields=["second"], on="click", nearest=True, empty=False)
    x = _seconds_axis(duration_s)
    y_axis = alt.Axis(format=".0%", values=[0, 0.5, 1], minExtent=_AXIS, maxExtent=_AXIS)
    areas = (
        alt.Chart(timeline)
        .mark_area(interpolate="monotone", line=False, opacity=0.92)
        .encode(
            x=x,
            y=alt.Y("p:Q", stack="zero", title=None, scale=alt.Scale(domain=[0, 1]), axis=y_axis),
            color=_genre_colours(labels, legend=alt.Legend(orient="bottom", columns=7, symbolType="square")),
            order=alt.Order("rank:Q"),
        )
    )
    wide = timeline.pivot_table(
        index=["second", "clock"], columns="genre", values="p", observed=True
    ).reset_index()
    tips = [alt.Tooltip("clock:N", title="at")]
    tips += [
        alt.Tooltip(field=_field(label), type="quantitative", title=label, format=".0%") for label in labels
    ]
    rule = (
        alt.Chart(wide)
        .mark_rule(color=palette.NO_GENRE, strokeWidth=2)
        .encode(x="second:Q", opacity=alt.condition(pointer, alt.value(1), alt.value(0)), tooltip=tips)
        .add_params(pointer, clicked)
    )
    return alt.layer(areas, rule).properties(height=height)


def _field(label: str) -> str:
    """A column's name where Vega would read dots and brackets as a path."""
    return "".join(f"\\{c}" if c in ".[]\\'\"" else c for c in label)


def spectrogram(
    png_url: str, seconds: float, duration_s: float, ticks: Mapping[int, str], n_mels: int
) -> Figure:
    """Picture of a mel spectrogram over the same seconds as `activations`.

    Parameters
    ----------
    seconds : float
        What the picture covers of `duration_s`.
    ticks : mapping
        Mel band to the frequency written beside it.
    """
    data = pd.DataFrame([{"second": 0.0, "end": seconds, "low": 0, "high": n_mels, "url": png_url}])
    names = "{" + ", ".join(f"'{band}': '{name}'" for band, name in ticks.items()) + "}"
    return (
        alt.Chart(data, height=150)
        .mark_image(aspect=False)
        .encode(
            x=_seconds_axis(duration_s, labels=False),
            x2="end:Q",
            y=alt.Y(
                "low:Q",
                title=None,
                scale=alt.Scale(domain=[0, n_mels], nice=False),
                axis=alt.Axis(
                    values=list(ticks),
                    labelExpr=f"({names})[datum.value]",
                    grid=False,
                    minExtent=_AXIS,
                    maxExtent=_AXIS,
                ),
            ),
            y2="high:Q",
            url="url:N",
        )
    )


def top_genres(probabilities: Mapping[str, float], *, threshold: float | None, n: int = 6) -> Figure:
    """The most probable genres of a track, and the threshold the first must reach."""
    best = sorted(probabilities.items(), key=lambda item: -item[1])[:n]
    data = pd.DataFrame(best, columns=["genre", "p"])
    labels = list(data["genre"])
    base = alt.Chart(data, height=max(len(labels), 1) * 28).encode(
        x=alt.X("p:Q", scale=alt.Scale(domain=[0, 1.12]), title=None, axis=None),
        y=alt.Y("genre:N", sort=labels, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=140)),
        tooltip=[alt.Tooltip("genre:N", title="Genre"), alt.Tooltip("p:Q", title="Confidence", format=".1%")],
    )
    layers: list[Any] = [
        base.mark_bar(cornerRadiusEnd=3, height=18).encode(color=_genre_colours(labels)),
        base.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(text=alt.Text("p:Q", format=".0%")),
    ]
    if threshold is not None:
        line = alt.Chart(pd.DataFrame([{"p": threshold, "text": f"threshold {threshold:.0%}"}])).encode(
            x="p:Q", tooltip=[alt.Tooltip("text:N", title="Written from here on")]
        )
        layers.append(line.mark_rule(strokeDash=[4, 3], strokeWidth=2, color=palette.NO_GENRE))
    return alt.layer(*layers)


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
            color=_genre_colours(
                _labels(points),
                legend=alt.Legend(orient="bottom", columns=6, symbolType="circle", symbolOpacity=1),
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
            y=alt.Y("n:Q", title="tracks", axis=alt.Axis(tickCount=4, format="~s")),
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
