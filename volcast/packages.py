"""Other packages: those that only parts of the library need, and which versions are here."""

import importlib
import platform
import sys
from importlib import metadata
from types import ModuleType

from volcast.errors import MissingPackageError

__all__ = ["DISTRIBUTION", "installed_versions", "required_module", "show_versions"]

DISTRIBUTION = "local-volatility-training"
_SHOWN = (
    DISTRIBUTION, "pandas", "numpy", "onnxruntime", "exchange_calendars", "narwhals", "pyarrow", "polars", "alpaca-py",
    "yfinance", "tensorflow", "keras", "numba", "onnx", "scikit-learn", "matplotlib", "arch", "bt", "QuantLib", "ray",
    "mlflow-skinny",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Versions of Python, of the system, and of the packages that matter here, by name; ``-`` where one is absent."""
    versions = {"python": sys.version.split()[0], "system": platform.platform()}
    for name in _SHOWN:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "-"
    return versions


def show_versions() -> None:
    """Print the versions of Python, of the system, and of the packages that matter here, for a report of a fault."""
    for name, version in installed_versions().items():
        print(f"{name:26} {version}")


def required_module(name: str, what: str, extra: str | None = None) -> ModuleType:
    """The module `name` of another package.

    Parameters
    ----------
    name
        Such as ``"pyarrow.parquet"``.
    what
        What needs it, to begin an error with; more than one of them.
    extra
        The extra that brings it; None where the package alone is enough.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        source = package if extra is None else f"'{DISTRIBUTION}[{extra}]'"
        raise MissingPackageError(
            f"{what} need the package {package}, which is not installed; it must be; pip install {source}."
        ) from None
