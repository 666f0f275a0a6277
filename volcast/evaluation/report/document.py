"""The frame of a page that needs nothing else: no network, no script, no file beside it; light and dark."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_document", "html_pictures", "html_table"]

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1f2933; --quiet: #52606d; --rule: #dde2e7; --tint: #f5f7fa;
  --strong: #fff7ed; --gain: #067647; --loss: #b42318; --either: #b54708; --warn: #fef3c7; --c0: #c2410c; --c1: #2563a8;
  --c2: #7a7f87; --c3: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e4e7eb; --quiet: #9aa5b1; --rule: #323a43;
  --tint: #1d232a; --strong: #33261b; --gain: #4cc38a; --loss: #ff8f84; --either: #f5a04c; --warn: #4a3b0b;
  --c0: #fb8a4c; --c1: #6fb1f2; --c2: #98a1ab; --c3: #b794ff; } }
body { margin: 0 auto; max-width: 1160px; padding: 16px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5em; line-height: 1.25; margin: 0.3em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.8em 0 0.5em; }
p, li { max-width: 75ch; overflow-wrap: anywhere; }
.verdict { border-left: 5px solid var(--c0); padding: 10px 14px; font-size: 1.05em; font-weight: 600;
  background: var(--tint); }
.simulated { background: var(--warn); padding: 8px 14px; font-weight: 600; }
.note { color: var(--quiet); font-size: 0.9em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.93em; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.gain { color: var(--gain); } .loss { color: var(--loss); }
figure { margin: 0; } figcaption { font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 18px 28px; }
svg { width: 100%; height: auto; display: block; fill: currentColor; }
svg text { font-family: inherit !important; }
@media (max-width: 480px) { body { padding: 12px; } th, td { padding: 4px 2px; } table { font-size: 0.7em; }
  .spare { display: none; } td:first-child { white-space: normal; } }
"""


def html_document(title: str, style: str, body: str) -> str:
    """A whole HTML page with this `title`, a plain text, and this `body`, taken as it is.

    `style` is added to the sheet that all pages share: it may use the colours ``--back``, ``--text``, ``--quiet``,
    ``--rule``, ``--tint``, ``--strong``, ``--gain``, ``--loss``, ``--either``, ``--warn`` and ``--c0`` to ``--c3``,
    which follow the reader's scheme. What has the class ``spare`` is left out on a telephone.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def html_pictures(pictures: Iterable[tuple[str, str]]) -> str:
    """Captions and pictures (an ``<svg>`` element each), side by side where there is room; empty without any."""
    shown = "".join(
        f'<figure role="img" aria-label="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>{svg}</figure>\n'
        for caption, svg in pictures
    )
    return f'<div class="pictures">\n{shown}</div>' if shown else ""


def html_table(heads: str, lines: Sequence[str]) -> str:
    """A table of rows that are HTML already; where it is wider than its page it scrolls by itself."""
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
