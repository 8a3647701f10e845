"""How time and memory grow with accounts, assets, paths and steps, and a page that draws it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_line
from benchmarks.row import Row, measured

__all__ = ["AXES", "draw_growth", "lines"]

BASE = {"accounts": 4_096, "assets": 16, "steps": 288, "paths": 512}

AXES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "accounts": (
        {"assets": 32, "positions": 4, "steps": 288, "paths": 256},
        (1_000, 10_000, 100_000, 1_000_000),
    ),
    "assets": ({}, (4, 16, 64, 200)),
    "paths": ({}, (512, 2_048, 8_192)),
    "steps": ({}, (288, 2_016, 8_640)),
}
"""What grows, what differs from ``BASE`` meanwhile, and the sizes."""

HEADER = "| {} | seconds | x draw | x per {} | peak MiB | liquidated |\n|--:|--:|--:|--:|--:|--:|"


def lines(
    axes: list[str] | None, most: int | None = None, page: Path | None = None
) -> Iterator[str]:
    """Yield a table an axis; ``most`` leaves out larger sizes, ``page`` is where to draw it."""
    yield machine_line()
    found: dict[str, list[tuple[int, Row]]] = {}
    for axis in axes or AXES:
        differs, sizes = AXES[axis]
        yield f"\n{_fixed(axis, differs)}\n\n{HEADER.format(axis, axis.rstrip('s'))}"
        rows = found[axis] = []
        for size in sizes:
            if most is None or size <= most:
                row = measured("ours", name=axis, size={**BASE, **differs, axis: size})
                rows.append((size, row))
                yield _line(rows)
    if page is not None:
        draw_growth(found, page)


def _fixed(axis: str, differs: dict[str, Any]) -> str:
    others = {name: size for name, size in {**BASE, **differs}.items() if name != axis}
    return ", ".join(f"{size:,} {name}" for name, size in others.items())


def _line(rows: list[tuple[int, Row]]) -> str:
    """Return the last row; its fourth column is seconds per unit over those of the first size."""
    (smallest, first), (size, row) = rows[0], rows[-1]
    per_unit = (row.seconds / size) / (first.seconds / smallest)
    return (
        f"| {size:,} | {row.seconds:.3g} | {row.ratio:.2f} | {per_unit:.2f} "
        f"| {row.peak_mib:,.0f} | {row.liquidated:.2%} |"
    )


def draw_growth(found: dict[str, list[tuple[int, Row]]], page: Path) -> None:
    """Write a page of a panel an axis: seconds and memory over the size, logarithmic axes."""
    # when it is drawn, all is measured: before, it would count as the rows' own memory
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=1,
        cols=len(found),
        subplot_titles=list(found),
        specs=[[{"secondary_y": True}] * len(found)],
        horizontal_spacing=0.08,
    )
    for column, (axis, rows) in enumerate(found.items(), start=1):
        sizes = [size for size, _ in rows]
        seconds, linear = [row.seconds for _, row in rows], [rows[0][1].seconds]
        linear += [linear[0] * size / sizes[0] for size in sizes[1:]]
        memory = [row.peak_mib / 1024 for _, row in rows]
        for name, values, style, second in (
            ("seconds", seconds, {"color": "#1f5fa8", "width": 3}, False),
            ("seconds, were it linear", linear, {"color": "#999999", "dash": "dot"}, False),
            ("peak memory, GiB", memory, {"color": "#c2571a", "width": 2}, True),
        ):
            line = go.Scatter(
                x=sizes, y=values, name=name, line=style, legendgroup=name, showlegend=column == 1
            )
            figure.add_trace(line, row=1, col=column, secondary_y=second)
        figure.update_xaxes(type="log", dtick=1, title=axis, row=1, col=column)
    figure.update_yaxes(type="log", dtick=1, secondary_y=False)
    figure.update_yaxes(range=[0, 10], tick0=0, dtick=2, showgrid=False, secondary_y=True)
    figure.update_layout(
        template="plotly_white",
        width=1280,
        height=380,
        margin={"l": 50, "r": 50, "t": 40, "b": 90},
        legend={"orientation": "h", "y": -0.25},
        title={"text": machine_line(), "font": {"size": 11}, "y": 0.02, "x": 0.99},
    )
    # without the buttons, which a picture of the page would show
    html = figure.to_html(include_plotlyjs=True, config={"displayModeBar": False})
    page.write_text(html, encoding="utf-8")
