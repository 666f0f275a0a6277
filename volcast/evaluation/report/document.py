"""The frame of a page that needs nothing else: no network, no script, no file beside it."""

from html import escape

__all__ = ["html_document"]


def html_document(title: str, style: str, body: str) -> str:
    """A whole HTML page with this `title`, a plain text, and these `style` sheet and `body`, taken as they are."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
