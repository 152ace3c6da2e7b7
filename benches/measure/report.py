"""Figures to text, Markdown and JSON."""

import re
import json
import statistics

BEGIN, END = "<!-- benches/compare: begin -->", "<!-- benches/compare: end -->"

PICTURE = "![Ratios to nginx, a bar for each proxy and kind of work](performance.svg)"


def ratios(rounds, base):
    """To nginx, round by round; `None` where one of them has no figure."""
    if any(one["value"] is None for one in rounds + base):
        return None
    return [one["value"] / other["value"] for one, other in zip(rounds, base)]


def middle(values):
    """Median, least and most."""
    return statistics.median(values), min(values), max(values)


def shown_ratio(values):
    """As the tables have it."""
    if values is None:
        return "cannot"
    return "{:.2f} ({:.2f}–{:.2f})".format(*middle(values))


def shown_value(rounds):
    values = [one["value"] for one in rounds]
    if None in values:
        return "–"
    return "{:.4g} ({:.4g}–{:.4g})".format(*middle(values))


def verdict(row, values):
    """Against what is to be reached."""
    if values is None:
        return "missed"
    median = statistics.median(values)
    if median <= row.aim:
        return "aim reached"
    return "reached" if median <= row.at_most else "missed"


def text(results):
    """All rows: figures, spreads and ratios."""
    lines = []
    for row, peers in results.rows:
        lines.append(f"\n{row.title} [{row.unit}]; at most {row.at_most:.2f}, aim {row.aim:.2f}")
        for name, rounds in peers.items():
            line = f"  {name:18}{shown_value(rounds):>30}"
            if "nginx" in peers and name != "nginx":
                values = ratios(rounds, peers["nginx"])
                line += f"   × nginx {shown_ratio(values)}"
                line += f"   {verdict(row, values)}" if name == "ours" else ""
            lines.append(line + details(rounds))
    for absolute, figures in results.absolutes:
        lines.append(f"\n{absolute.title}; at most {absolute.at_most}")
        lines += [f"  {who:18}{value:12.2f} {unit}" for who, value, unit in figures]
    lines += ["", "left out:"] if results.left_out else []
    lines += [f"  {what}: {why}" for what, why in results.left_out.items()]
    return "\n".join(lines)


def details(rounds):
    """Where the CPU time went, and how fast it was."""
    if "user" not in rounds[0]:
        return ""
    part = {key: statistics.median(one[key] for one in rounds)
            for key in ("user", "system", "rate", "p99")}
    return (
        f"   [user {part['user']:.1f}, system {part['system']:.1f} µs; {part['rate']:.0f}/s, "
        f"p99 {part['p99']:.0f} µs]"
    )


def markdown(results):
    """The picture and the two tables of docs/performance.md."""
    others = [name for name in results.peers if name not in ("nginx", "ours")]
    head = ["work", "at most", "aim", "ours", *others, "nginx itself"]
    lines = [PICTURE, "", table_line(head), table_line(["---"] * len(head))]
    for row, peers in results.rows:
        base = peers.get("nginx")
        cells = [row.title, f"{row.at_most:.2f}", f"{row.aim:.2f}"]
        for name in ["ours", *others]:
            has_both = base and name in peers
            shown = shown_ratio(ratios(peers[name], base)) if has_both else "–"
            cells.append(f"**{shown}**" if name == "ours" else shown)
        cells.append(f"{shown_value(base)} {row.unit}" if base else "–")
        lines.append(table_line(cells))
    lines.append("")
    if results.absolutes:
        lines += [table_line(["what", "at most", "measured"]), table_line(["---"] * 3)]
    for absolute, figures in results.absolutes:
        measured = "; ".join(f"{who} {value:,.2f} {unit}" for who, value, unit in figures)
        lines.append(table_line([absolute.title, absolute.at_most, measured]))
    lines += [""] + [f"- {name}: {value}" for name, value in results.facts]
    lines += [f"- left out: {what} ({reason(why)})" for what, why in results.left_out.items()]
    return "\n".join(lines)


def reason(why):
    """What a tool said belongs to one machine."""
    return "could not be had" if re.search(r"(^|\s)/|://", why) else why


def table_line(cells):
    return "| " + " | ".join(cells) + " |"


def write_between_marks(path, inside):
    """Replaces what stands between the two marks of a text."""
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{inside}\n\n{END}{after}")


def write_json(path, results):
    """Everything, round by round."""
    path.write_text(json.dumps({
        "facts": dict(results.facts),
        "rows": {row.key: peers for row, peers in results.rows},
        "absolutes": {one.key: figures for one, figures in results.absolutes},
        "left_out": results.left_out,
    }, indent=1) + "\n")
