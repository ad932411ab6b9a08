"""Charts of one track: its genres, over its seconds and in all, and its spectrogram. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboards import palette
from dashboards.charts import Figure, genre_colours

_AXIS = 54
"""Room for the labels beside the two charts of a track, so that their seconds stand below each other."""


def _seconds_axis(duration_s: float, *, labels: bool = True) -> alt.X:
    clock = "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') + floor(datum.value % 60)"
    return alt.X(
        "second:Q",
        scale=alt.Scale(domain=[0, max(duration_s, 0.1)], nice=False),
        title=None,
        axis=alt.Axis(labelExpr=clock, grid=False, labels=labels, ticks=labels, tickCount=8, tickMinStep=1),
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
        .mark_area(interpolate="monotone", line=False, opacity=0.92, tooltip=None)
        .encode(
            x=x,
            y=alt.Y("p:Q", stack="zero", title=None, scale=alt.Scale(domain=[0, 1]), axis=y_axis),
            color=genre_colours(labels, legend=alt.Legend(orient="bottom", columns=4, symbolType="square")),
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
        .mark_image(aspect=False, tooltip=None)
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
        y=alt.Y(
            "genre:N",
            sort=labels,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelOverlap=False, labelLimit=140),
        ),
        tooltip=[alt.Tooltip("genre:N", title="Genre"), alt.Tooltip("p:Q", title="Confidence", format=".1%")],
    )
    layers: list[Any] = [
        base.mark_bar(cornerRadiusEnd=3, height=18).encode(color=genre_colours(labels)),
        base.mark_text(align="left", dx=5, color=palette.NO_GENRE).encode(text=alt.Text("p:Q", format=".0%")),
    ]
    if threshold is not None:
        line = alt.Chart(pd.DataFrame([{"p": threshold, "text": f"threshold {threshold:.0%}"}])).encode(
            x="p:Q", tooltip=[alt.Tooltip("text:N", title="Written from here on")]
        )
        layers.append(line.mark_rule(strokeDash=[4, 3], strokeWidth=2, color=palette.NO_GENRE))
    return alt.layer(*layers)
