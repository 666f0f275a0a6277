"""One error type per kind of trouble.

Every message states what was found, what the rule is, and the way out. All of them derive from `VolatilityError`,
so a backtest can catch the library's troubles in one clause without hiding its own bugs.
"""

__all__ = [
    "BarsError",
    "BarsWarning",
    "ConfigError",
    "CorruptModelError",
    "CredentialsError",
    "DataSourceError",
    "LookAheadError",
    "MissingPackageError",
    "ModelKeptOutWarning",
    "ModelMismatchWarning",
    "ModelNotFoundError",
    "NotEnoughDataError",
    "StoreError",
    "TrainingError",
    "UnsafeModelError",
    "VolatilityError",
    "describe_os_error",
]


class VolatilityError(Exception):
    """Base of every error that this library raises on purpose."""


class ConfigError(VolatilityError):
    """A configuration has an unknown key, a value outside its rule, or values that contradict each other."""


class BarsError(VolatilityError):
    """Bars are unusable: a missing column, a naive or unsorted index, duplicates, NaN or non-positive prices."""


class NotEnoughDataError(BarsError):
    """The bars are in order, but too few of them for what was asked."""


class DataSourceError(VolatilityError):
    """A source of bars could not be reached, refused the request, or has no such symbol or span."""


class CredentialsError(DataSourceError):
    """Keys for a source of bars are missing or were refused."""


class MissingPackageError(VolatilityError):
    """What was asked for needs a package that is not installed."""


class TrainingError(VolatilityError):
    """A search or a training ended without a usable model."""


class ModelNotFoundError(VolatilityError):
    """There is no saved model of that name or at that path."""


class CorruptModelError(VolatilityError):
    """A saved model's files are missing, changed or unreadable."""


class StoreError(VolatilityError):
    """The store of models cannot be written: the disk is full, read-only, or another process holds its lock."""


class UnsafeModelError(VolatilityError):
    """A model file contains something that must not be executed or followed."""


class LookAheadError(VolatilityError):
    """A forecast was asked for a moment whose data the model has already seen."""


class BarsWarning(UserWarning):
    """Bars are others than were asked for, as those of one exchange instead of all, of hours nobody named, or old."""


class ModelKeptOutWarning(UserWarning):
    """A model was trained and saved, and does not serve, since its verdict is not to use it."""


class ModelMismatchWarning(UserWarning):
    """A model serves bars of another symbol, or a model trained on simulated bars serves real ones."""


def describe_os_error(error: OSError) -> str:
    """One sentence about a file or directory that the system refused to read or write, for command lines."""
    where = error.filename or "a file"
    return f"{where} cannot be used ({error.strerror or error}); check the path, its permissions and the space left."
