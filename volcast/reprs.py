"""How results show themselves: one short line in a terminal, the same line in a notebook."""

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping

__all__ = ["OneLineRepr"]

_LONGEST = 60


class OneLineRepr(ABC):
    """Shows itself as ``Kind(name=value, ...)`` with the few facts that tell one from another.

    A dataclass that derives from it is one with ``repr=False``.
    """

    @abstractmethod
    def _facts(self) -> Mapping[str, object]:
        """What is shown, by name; what is None is left out."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self._facts().items() if value is not None)
        return f"{type(self).__name__}({shown})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def _shown(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else repr(value if isinstance(value, int) else str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
