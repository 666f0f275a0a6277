"""Members of one kind by name: the library's own, and those that installed packages offer as entry points."""

import reprlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from volcast.errors import ConfigError

__all__ = ["Registry", "offered"]

Member = TypeVar("Member")


def offered(*groups: str) -> dict[str, EntryPoint]:
    """Entry points of `groups` in the packages that are installed, by name; none of them is loaded."""
    return {point.name: point for group in groups for point in entry_points(group=group)}


class Registry(Mapping[str, Member]):
    """The members of one kind by name: the library's own first, then those of installed packages.

    A package offers one by an entry point, so every process finds it, those that a training starts too. Where a name
    is the library's own already, the library's is meant.

    Parameters
    ----------
    kind
        What a member is called in an error, such as ``"estimator"``.
    member
        The type that each of them has.
    own
        The library's own, by name; what is costly to import as an entry point, loaded when it is asked for.
    groups
        Groups of entry points in which packages offer more.
    """

    def __init__(
        self, kind: str, member: type[Member], members: Mapping[str, Member | EntryPoint], *groups: str
    ) -> None:
        self._kind, self._member, self._own, self._groups = kind, member, members, groups

    def __getitem__(self, name: str) -> Member:
        if name not in self._own:
            # Not by its type: once the package importlib_metadata is imported, entry points are of its own.
            return self._loaded(offered(*self._groups)[name])
        member = self._own[name]
        return self._loaded(member) if isinstance(member, EntryPoint) else member

    def __contains__(self, name: object) -> bool:
        # Whether it is there, not whether it can be loaded.
        return name in self._own or name in offered(*self._groups)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in offered(*self._groups) if name not in self._own)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def named(self, name: object) -> Member:
        """The member of that name.

        Raises
        ------
        ConfigError
            There is none, or what a package offers under that name cannot be loaded or is of another type.
        """
        if not isinstance(name, str) or name not in self:
            shown = reprlib.repr(name)
            raise ConfigError(f"there is no {self._kind} named {shown}; it must be one of {', '.join(self)}.")
        return self[name]

    def _loaded(self, point: EntryPoint) -> Member:
        try:
            member = point.load()
        except Exception as error:
            raise ConfigError(
                f"the {self._kind} {point.name!r} ({point.value}) cannot be loaded ({type(error).__name__}: {error}); "
                "its package must be whole; install it again."
            ) from error
        if not isinstance(member, self._member):
            raise ConfigError(
                f"the {self._kind} {point.name!r} ({point.value}) is of type {type(member).__name__}; the rule is "
                f"{self._member.__name__}; let the entry point name one."
            )
        return member
