"""The page that a browser is shown at ``/``: one document, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

from api.schemas.summary import SummaryAnswer, SymbolSummary

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
pre { padding: .8rem; border: 1px solid var(--line); border-radius: .4rem; overflow-x: auto; }
code { font: .9em ui-monospace, monospace; }
.note { opacity: .75; }
.scroll { overflow-x: auto; }
"""


def page(answer: SummaryAnswer) -> str:
    """The summary as HTML."""
    links = " · ".join(_link(href, name) for name, href in answer.links.items())
    replay = " It answers with a set clock: what it says is a replay." * (answer.kind == "replay")
    commands = escape("\n".join(answer.try_next))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>closecast</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>closecast {escape(answer.version)}</h1>
<p>Forecasts of closing prices with intervals, session by session, and their scores afterwards.
{replay}
</p>
<nav>{links}</nav>
<h2>Symbols</h2>
{_table(answer)}
<h2>Try next</h2>
<pre><code>{commands}</code></pre>
<p class="note">{escape(answer.now.strftime("%Y-%m-%d %H:%M"))} UTC</p>
</body>
</html>
"""


def _table(answer: SummaryAnswer) -> str:
    if not answer.symbols:
        return "<p>No symbol has a model yet. Train one with the command below.</p>"
    rows = "\n".join(_row(symbol) for symbol in answer.symbols)
    more = f'<p class="note">and {answer.left_off} more</p>' * bool(answer.left_off)
    return f"""<div class="scroll"><table>
<thead><tr><th scope="col">Symbol</th><th scope="col">Newest close</th><th scope="col">Model</th>
<th scope="col">Look at</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>{more}"""


def _row(summary: SymbolSummary) -> str:
    links = " · ".join(_link(href, name) for name, href in summary.links.items())
    problem = f'<br><span class="note">{escape(summary.problem)}</span>' if summary.problem else ""
    if summary.held is not None:
        note = f"closes since {summary.held.since} are held back: {summary.held.reason}"
        age = f'{_age(summary)}<br><span class="note">{escape(note)}</span>'
    else:
        age = _age(summary)
    cells = (
        f'<th scope="row">{escape(summary.symbol)}</th>',
        f"<td>{age}</td>",
        f"<td><code>{escape(summary.model_version or 'unreadable')}</code>{problem}</td>",
        f"<td>{links}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _age(summary: SymbolSummary) -> str:
    if summary.newest_close is None:
        return "none known"
    if not summary.age:
        return f"{summary.newest_close} (fresh)"
    sessions = "session" if summary.age == 1 else "sessions"
    return f"{summary.newest_close} ({summary.age} {sessions} behind)"


def _link(href: str, name: str) -> str:
    return f'<a href="{escape(href, quote=True)}">{escape(name)}</a>'
