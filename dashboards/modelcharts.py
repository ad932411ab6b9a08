"""Charts of how good a model is: data frames of `dashboards.evaluation` in, altair out; no Streamlit."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboards import palette
from dashboards.charts import Figure

_MAIN = "#2a9d8f"
_SECOND = "#e76f51"
_PERCENT = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
_WHOLE = alt.Scale(domain=[0, 1])


def accuracy(frame: pd.DataFrame) -> Figure:
    """Accuracy by set of tracks, with its 95 % interval. `frame` of `evaluation.accuracies`."""
    order = list(frame["set"])
    parts = list(dict.fromkeys(frame["part"]))
    base = alt.Chart(frame, height=max(len(order), 1) * 44 + 130).encode(  # with axis and legend
        y=alt.Y(
            "set:N",
            sort=order,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelOverlap=False, labelLimit=200),
        ),
        tooltip=[
            alt.Tooltip("set:N", title="Tracks"),
            alt.Tooltip("accuracy:Q", title="Right", format=".1%"),
            alt.Tooltip("low:Q", title="95 % from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
            alt.Tooltip("macro_f1:Q", title="Macro F1", format=".2f"),
            alt.Tooltip("ece:Q", title="Calibration error", format=".3f"),
        ],
    )
    colour = alt.Color(
        "part:N",
        scale=alt.Scale(domain=parts, range=[_MAIN, _SECOND][: len(parts)]),
        legend=alt.Legend(orient="bottom", symbolType="circle"),
        title=None,
    )
    interval = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", scale=_WHOLE, axis=_PERCENT, title="share of tracks that are right"),
        x2="high:Q",
        color=colour,
    )
    point = base.mark_circle(size=150, opacity=1).encode(x="accuracy:Q", color=colour)
    text = base.mark_text(dy=-13, color=palette.NO_GENRE).encode(
        x="accuracy:Q", text=alt.Text("accuracy:Q", format=".0%")
    )
    return alt.layer(interval, point, text)


def confusion(frame: pd.DataFrame) -> Figure:
    """What the tracks of each genre were called. `frame` of `evaluation.confusion`."""
    genres = list(dict.fromkeys(frame["estimate"]))
    base = alt.Chart(frame).encode(
        x=alt.X(
            "estimate:N",
            sort=genres,
            title="called",
            axis=alt.Axis(labelAngle=-45, labelOverlap=False, orient="top"),
        ),
        y=alt.Y("reference:N", sort=genres, title=None, axis=alt.Axis(labelOverlap=False)),
        tooltip=[
            alt.Tooltip("reference:N", title="Is"),
            alt.Tooltip("estimate:N", title="Called"),
            alt.Tooltip("n:Q", title="Tracks"),
            alt.Tooltip("share:Q", title="Of the genre", format=".0%"),
        ],
    )
    cells = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#f3f6f5", "#06493f"]), legend=None)
    )
    numbers = (
        base.transform_filter("datum.n > 0")
        .mark_text()
        .encode(
            text="n:Q", color=alt.condition("datum.share > 0.45", alt.value("#ffffff"), alt.value("#20302d"))
        )
    )
    n_rows = frame["reference"].nunique()
    return alt.layer(cells, numbers).properties(height=n_rows * 30 + 70)


def per_genre(frame: pd.DataFrame) -> Figure:
    """F1 by genre, the best first, between recall and precision. `frame` of `evaluation.per_genre`."""
    data = frame.sort_values("f1", ascending=False)
    order = list(data["genre"])
    base = alt.Chart(data, height=len(order) * 30).encode(
        y=alt.Y(
            "genre:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelOverlap=False)
        ),
        tooltip=[
            alt.Tooltip("genre:N", title="Genre"),
            alt.Tooltip("n_tracks:Q", title="Tracks"),
            alt.Tooltip("precision:Q", title="Precision", format=".2f"),
            alt.Tooltip("recall:Q", title="Recall", format=".2f"),
            alt.Tooltip("f1:Q", title="F1", format=".2f"),
        ],
    )
    colour = alt.Color("genre:N", scale=alt.Scale(domain=order, range=palette.colours(order)), legend=None)
    bars = base.mark_bar(cornerRadiusEnd=3, height=18).encode(
        x=alt.X(
            "f1:Q",
            scale=_WHOLE,
            title="F1 (bar), precision (▲), recall (●)",
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f"),
        ),
        color=colour,
    )
    marks = [
        base.mark_point(
            shape=shape, size=50, filled=True, color="#ffffff", stroke="#444444", strokeWidth=1, opacity=1
        ).encode(x=f"{name}:Q")
        for name, shape in (("precision", "triangle-up"), ("recall", "circle"))
    ]
    return alt.layer(bars, *marks)


def reliability(frame: pd.DataFrame, *, height: int = 280) -> Figure:
    """How often the model is right when it is so sure. `frame` of `evaluation.reliability`."""
    perfect = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(
        strokeDash=[4, 4], color=palette.NO_GENRE, tooltip=None
    )
    perfect = perfect.encode(x="confidence:Q", y="accuracy:Q")
    base = alt.Chart(frame).encode(
        x=alt.X("confidence:Q", scale=_WHOLE, axis=_PERCENT, title="confidence"),
        y=alt.Y("accuracy:Q", scale=_WHOLE, axis=_PERCENT, title="right"),
        tooltip=[
            alt.Tooltip("confidence:Q", title="Confidence", format=".0%"),
            alt.Tooltip("accuracy:Q", title="Right", format=".0%"),
            alt.Tooltip("n_tracks:Q", title="Tracks"),
        ],
    )
    dots = base.mark_circle(color=_MAIN, opacity=1).encode(
        size=alt.Size("n_tracks:Q", scale=alt.Scale(range=[40, 400]), legend=None)
    )
    return alt.layer(perfect, base.mark_line(color=_MAIN), dots).properties(height=height)


def risk_coverage(frame: pd.DataFrame, threshold: float, *, height: int = 280) -> Figure:
    """How many of the named tracks are right, the more are named. `frame` of `evaluation.risk_coverage`."""
    base = alt.Chart(frame).encode(
        x=alt.X("coverage:Q", scale=_WHOLE, axis=_PERCENT, title="share of tracks that get a genre"),
        y=alt.Y("precision:Q", scale=_WHOLE, axis=_PERCENT, title="of these right"),
        tooltip=[
            alt.Tooltip("threshold:Q", title="Threshold", format=".0%"),
            alt.Tooltip("coverage:Q", title="Named", format=".0%"),
            alt.Tooltip("precision:Q", title="Right", format=".0%"),
        ],
    )
    layers = [base.mark_line(color=_MAIN, point=alt.OverlayMarkDef(color=_MAIN, size=30))]
    here = at_threshold(frame, threshold)
    if here is not None:
        point = alt.Chart(pd.DataFrame([here])).encode(x="coverage:Q", y="precision:Q")
        layers.append(point.mark_point(size=260, filled=False, strokeWidth=3, color=_SECOND, tooltip=None))
    return alt.layer(*layers).properties(height=height)


def learning_curve(frame: pd.DataFrame, *, height: int = 240) -> Figure:
    """Loss while learning, accuracy on held-out tracks, by step. `frame` of `evaluation.learning_curve`."""
    x = alt.X("step:Q", title="training step")
    step = alt.Tooltip("step:Q", title="Step", format=",")
    loss = alt.Chart(frame).mark_line(color=_SECOND)
    loss = loss.encode(
        x=x,
        y=alt.Y("loss:Q", title="loss while learning", scale=alt.Scale(zero=False), axis=_coloured(_SECOND)),
        tooltip=[step, alt.Tooltip("loss:Q", title="Loss", format=".3f")],
    )
    seen = frame.dropna(subset=["accuracy"])
    if seen.empty:
        return loss.properties(height=height)
    right = alt.Chart(seen).mark_line(color=_MAIN, point=alt.OverlayMarkDef(color=_MAIN, size=40))
    right = right.encode(
        x=x,
        y=alt.Y(
            "accuracy:Q", title="held-out tracks right", scale=alt.Scale(zero=False),
            axis=_coloured(_MAIN, format=".1%"),
        ),
        tooltip=[step, alt.Tooltip("accuracy:Q", title="Right", format=".1%")],
    )  # fmt: skip
    return alt.layer(loss, right).resolve_scale(y="independent").properties(height=height)


def _coloured(colour: str, format: str = ".2f") -> alt.Axis:
    return alt.Axis(titleColor=colour, tickCount=5, format=format)


def splits(frame: pd.DataFrame, *, height: int = 150) -> Figure:
    """An honest split beside a leaky one. `frame` of `evaluation.splits`."""
    order = list(frame["split"])
    base = alt.Chart(frame, height=height).encode(
        y=alt.Y("split:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=220)),
        x=alt.X("accuracy:Q", scale=_WHOLE, axis=_PERCENT, title="share of chunks that are right"),
        tooltip=[
            alt.Tooltip("split:N", title="Split"),
            alt.Tooltip("accuracy:Q", title="Right", format=".1%"),
        ],
    )
    scale = alt.Scale(domain=order, range=[_MAIN, "#b9c4c2"])
    bars = base.mark_bar(cornerRadiusEnd=3, height=28).encode(
        color=alt.Color("split:N", scale=scale, legend=None)
    )
    text = base.mark_text(align="left", dx=6, color=palette.NO_GENRE)
    return alt.layer(bars, text.encode(text=alt.Text("accuracy:Q", format=".0%")))


def at_threshold(frame: pd.DataFrame, threshold: float) -> dict[str, float] | None:
    """The point of the curve that a threshold comes to: the most coverage at confidences from there on."""
    reached = frame[frame["threshold"] >= threshold]
    if reached.empty:
        return None
    best = reached.sort_values("coverage").iloc[-1]
    return {"coverage": float(best["coverage"]), "precision": float(best["precision"])}
