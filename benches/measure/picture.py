"""Bars of the ratios to nginx, as an SVG that can be read on light and dark paper."""

import statistics
from xml.sax.saxutils import escape

from .report import ratios

WIDTH, LEFT, RIGHT = 860, 330, 70
BAR, GAP, BETWEEN = 13, 3, 16
# Longer bars are cut, and their number says how long they were.
MOST = 2.0

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #24292f }
    .small { font-size: 11px } .ours { fill: #0969da } .other { fill: #8c959f }
    .line { stroke: #24292f; stroke-width: 1 } .limit { stroke: #cf222e; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 } .ours { fill: #4493f8 } .other { fill: #6e7681 }
        .line { stroke: #e6edf3 } .limit { stroke: #f85149 }
    }
"""


def draw(results):
    """The whole picture."""
    parts, y = [], 46
    for row, peers in results.rows:
        drawn, y = group(row, peers, y)
        parts += drawn
    title = "CPU time (or latency, or time to start) as a ratio to nginx: shorter is better"
    line = f'<line class="line" x1="{place(1)}" x2="{place(1)}" y1="34" y2="{y}"/>'
    label = f'<text class="small" x="{place(1)}" y="30" text-anchor="middle">nginx = 1</text>'
    key = f'<text class="small" x="{WIDTH - RIGHT}" y="30" text-anchor="end">red: at most</text>'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" role="img">',
        f"<title>{title}</title>", f"<style>{STYLE}</style>",
        f'<text x="8" y="18">{title}</text>', *parts, line, label, key, "</svg>", "",
    ])


def group(row, peers, y):
    """The bars of one row, and where the next begins."""
    base = peers.get("nginx")
    if not base:
        return [], y
    names = [name for name in peers if name != "nginx"]
    # Ours first, for the eye.
    names.sort(key=lambda name: name != "ours")
    parts, top = [f'<text x="8" y="{y + BAR - 2}">{escape(row.title)}</text>'], y
    for name in names:
        parts += bar(name, ratios(peers[name], base), y)
        y += BAR + GAP
    limit = place(row.at_most)
    parts.append(f'<line class="limit" x1="{limit}" x2="{limit}" y1="{top}" y2="{top + BAR}"/>')
    return parts, y + BETWEEN


def bar(name, values, y):
    kind = "ours" if name == "ours" else "other"
    median = statistics.median(values) if values else None
    end = place(min(median if median is not None else MOST, MOST))
    shown = "cannot" if median is None else f"{median:.2f}"
    arrow = " →" if median is not None and median > MOST else ""
    return [
        f'<text class="small" x="{LEFT - 6}" y="{y + BAR - 3}" text-anchor="end">{name}</text>'
        if kind == "other" else "",
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="{BAR}"/>',
        f'<text class="small" x="{end + 5:.1f}" y="{y + BAR - 3}">{shown}{arrow}</text>',
    ]


def place(ratio):
    """From a ratio to where it is across."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * ratio / MOST, 1)
