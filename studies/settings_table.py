"""The table of settings in docs/reference/configuration.md, made from the fields of `TrainingConfig`.

``make docs`` writes it into the document.
"""

from pathlib import Path

from volcast.config import TRAINING_CONFIG, TrainingConfig

__all__ = ["document_with_table", "settings_table"]

_DOCUMENT = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"
_FIRST = "| setting | default | option | meaning |"


def settings_table() -> str:
    """A line a setting, in Markdown."""
    flags = TrainingConfig.flags()
    lines = [_FIRST, "| --- | --- | --- | --- |"]
    for name, default in TRAINING_CONFIG.items():
        option = f"`{flags[name].name}`" if name in flags else ""
        meaning = TrainingConfig.sentence_of(name).replace("``", "`")
        lines.append(f"| `{name}` | {_written(default)} | {option} | {meaning[:1].lower()}{meaning[1:]} |")
    return "\n".join(lines)


def document_with_table(document: str) -> str:
    """The document, its table of settings replaced by `settings_table`."""
    before, _, rest = document.partition(_FIRST)
    after = rest.partition("\n\n")[2]
    return f"{before}{settings_table()}\n\n{after}"


def _written(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(f"{part:g}" for part in default) or "none"
    return {"None": "", "True": "true", "False": "false"}.get(str(default), str(default))


if __name__ == "__main__":
    _DOCUMENT.write_text(document_with_table(_DOCUMENT.read_text()))
