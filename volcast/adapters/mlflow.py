"""Trainings and models in MLflow: what was trained on what and how good it is, and a model that forecasts elsewhere.

A model is logged as its directory, which is verified when it is loaded; nothing is pickled.
``mlflow.pyfunc.load_model(uri)`` forecasts, and its ``get_raw_model()`` is a `VolatilityForecaster`.
"""

import contextlib
import math
import re
import reprlib
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volcast.bars.frames import as_bars_frame
from volcast.bars.symbols import symbols_of
from volcast.errors import BarsError, ConfigError, StoreError
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.verdict import MODEL
from volcast.forecaster import VolatilityForecaster
from volcast.packages import DISTRIBUTION, required_module
from volcast.store.bundle import ModelBundle
from volcast.store.store import ModelStore
from volcast.training.result import TrainingResult

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo
    from mlflow.models.signature import ModelSignature

__all__ = ["LoggedForecaster", "log_model", "log_training"]

_ABOUT_BARS = ("sha256", "simulated", "first_bar", "last_bar", "bars", "bar_minutes")
_ANSWERED = {
    "asof": "datetime", "bucket": "datetime", "volatility": "double", "annualized_volatility": "double",
    "lower": "double", "upper": "double", "model_version": "string", "is_fallback": "boolean",
    "deseasonalized_volatility": "double", "kind": "string",
}  # fmt: skip
_PINNED = ("numpy", "pandas", "onnxruntime")
_REPORT = (".html", ".png", ".csv")
_NO_NAME = re.compile(r"[^\w\-. :/]")
"""What MLflow refuses in the name of a metric: symbols have ^ and =."""
_LONGEST_DIGEST, _LONGEST_REASON = 36, 300


def log_training(result: TrainingResult, *, registered_model_name: str | None = None) -> "ModelInfo":
    """Log a training as a run of its own, nested in the active run where there is one.

    Parameters of the run are the settings, and the best hyperparameters under ``best/``. Its metrics are the figures of
    the test part, ``test/qlike`` and the others of `Evaluation.metrics`; those of the baselines, under their names;
    those of total volatility, ``total/22 sessions/qlike``; the model's to each symbol's log-HAR, ``symbols/SPY``; and
    the losses of each epoch. Each symbol's bars are an input with a digest, the first 36 figures of their SHA-256.
    Its artifacts are the model, and the page, pictures and tables that explain it; its description is the verdict.

    Parameters
    ----------
    result
        Of a training whose model is saved.
    registered_model_name
        Under which the model becomes a version in the registry; None registers nothing.

    Returns
    -------
    As of `log_model`; ``run_id`` is the run's.

    Raises
    ------
    MissingPackageError
        MLflow is not installed.
    ConfigError, CorruptModelError, ModelNotFoundError
        The model is not saved, not whole, or removed since; or a name is no text.
    StoreError
        MLflow does not take it.
    """
    bundle, mlflow = result.bundle, _mlflow()
    directory = _verified_directory(bundle)
    _require_names(registered_model_name=registered_model_name)
    with _refusals(), mlflow.start_run(run_name=bundle.name, nested=True, description=result.evaluation.verdict):
        mlflow.set_tags(_tags(result))
        mlflow.log_params(_parameters(result))
        mlflow.log_metrics({**_figures(result.evaluation), "seconds": result.seconds})
        for step, losses in enumerate(_losses_by_epoch(result.histories), 1):
            mlflow.log_metrics(losses, step=step)
        _log_bars(result.data.provenance)
        for file in sorted(directory.iterdir()):
            if file.suffix in _REPORT:
                mlflow.log_artifact(str(file))
        return log_model(bundle, registered_model_name=registered_model_name)


def log_model(
    bundle: ModelBundle,
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    pip_requirements: list[str] | None = None,
) -> "ModelInfo":
    """Log a saved model in the active run, or in a run of its own.

    Parameters
    ----------
    bundle
        A model that a training left (``result.bundle``) or that ``ModelStore().load(name)`` gives.
    name
        Of the logged model.
    registered_model_name
        Under which it becomes a version in the registry; None registers nothing.
    pip_requirements
        What an environment must have to load it; None is this library, numpy, pandas and ONNX Runtime at the versions
        that are installed here, with which forecasts are the same to the last bit.

    Returns
    -------
    What MLflow knows of it: ``mlflow.pyfunc.load_model(info.model_uri)`` gives the model back, see `LoggedForecaster`.

    Raises
    ------
    MissingPackageError
        MLflow is not installed.
    ConfigError, CorruptModelError, ModelNotFoundError
        The model is not saved, not whole, or removed since; or a name is no text.
    StoreError
        MLflow does not take it.
    """
    mlflow, directory = _mlflow(), _verified_directory(bundle)
    _require_names(name, registered_model_name=registered_model_name)
    with _refusals(), warnings.catch_warnings():
        # It asks for an example of bars, with which it would forecast: months of them.
        warnings.filterwarnings("ignore", ".*input example", UserWarning)
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=name,
            loader_module=__name__,
            data_path=str(directory),
            signature=_signature(),
            pip_requirements=pip_requirements or _requirements(),
            metadata={"model": bundle.name, "trained_through": str(bundle.trained_through)},
            registered_model_name=registered_model_name,
        )
    return info


class LoggedForecaster:
    """What forecasts behind ``mlflow.pyfunc.load_model``.

    Parameters
    ----------
    forecaster
        Of the model that was logged.
    """

    def __init__(self, forecaster: VolatilityForecaster) -> None:
        self._forecaster = forecaster

    def get_raw_model(self) -> VolatilityForecaster:
        """The forecaster of the model, with all that it can do: series, streams, panels."""
        return self._forecaster

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """A forecast of each symbol in the bars.

        Parameters
        ----------
        model_input
            Bars as `VolatilityForecaster.forecast` and `forecast_panel` take them; stamps may stand in a column
            ``timestamp`` (text with an offset, too, as JSON has it), and symbols in a column ``symbol``. Of a model
            that was trained with another symbol's nights (``overnight_bars``), those of that symbol are among them,
            under its name, and all others are forecast.
        params
            ``asof`` (text as ISO 8601; without an offset the market's time), ``horizon`` (text: ``"1"``,
            ``"session_end"``, ``"22 sessions"``), ``kind`` and ``allow_in_sample``, with the forecaster's meanings and
            defaults.

        Returns
        -------
        A row a symbol: the column ``symbol``, None where the bars do not name it, and the fields of a `Forecast`.

        Raises
        ------
        BarsError
            The model was trained with another symbol's nights, and the bars have none under that symbol.
        VolatilityError
            What the forecaster refuses.
        """
        bars, options = as_bars_frame(model_input), dict(params or {})
        horizon = options.pop("horizon", "1")
        asked = {**options, "horizon": int(horizon) if str(horizon).isdecimal() else horizon}
        symbol = self._forecaster.model_info().get("overnight_symbol")
        if symbol is not None:
            bars, asked["overnight_bars"] = _apart(bars, symbol)
        if symbols_of(bars):
            return self._forecaster.forecast_panel(bars, **asked).reset_index()
        forecast = self._forecaster.forecast(bars, **asked)
        return pd.DataFrame([{"symbol": bars.attrs.get("symbol"), **vars(forecast)}])


def _apart(bars: pd.DataFrame, symbol: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bars without those of `symbol`, which tells of their nights, and these."""
    names = [name for name in symbols_of(bars) if str(name).upper() == symbol]
    if not names:
        present = ", ".join(map(str, symbols_of(bars))) or "one symbol without a name"
        raise BarsError(
            f"the bars are of {present}, and the model was trained with the nights of {symbol}; it must see these; put "
            f"the bars of {symbol} among them, with the symbol {symbol}."
        )
    tells_of_nights = bars.index.get_level_values(0) == names[0]
    if tells_of_nights.all():
        raise BarsError(
            f"the bars are of {symbol} alone, which tells the model of the nights of others; there must be others to "
            "forecast; put their bars among them."
        )
    nights = bars[tells_of_nights]
    nights.attrs = {**bars.attrs, "symbol": symbol}
    return bars[~tells_of_nights], nights


def _load_pyfunc(data_path: str) -> LoggedForecaster:
    """The model in a directory; called by MLflow."""
    return LoggedForecaster(VolatilityForecaster(data_path))


def _mlflow() -> Any:
    return required_module("mlflow", "trainings and models in MLflow", "mlflow")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What MLflow, or the disk under it, does not take becomes one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" ...").rstrip(".")
        raise StoreError(f"MLflow does not take it ({reason}); it must; mend that and log it again.") from error


def _verified_directory(bundle: ModelBundle) -> Path:
    if bundle.path is None:
        raise ConfigError(
            f"{bundle.name} is not saved; a model is logged as its directory; ModelStore().save it first."
        )
    ModelStore(bundle.path.parent).verify(bundle.path)
    return bundle.path


def _require_names(*names: object, registered_model_name: object) -> None:
    for name in names if registered_model_name is None else (*names, registered_model_name):
        if not isinstance(name, str):
            raise ConfigError(f"a model is to be called {reprlib.repr(name)} in MLflow; a name is text; give one.")


def _tags(result: TrainingResult) -> dict[str, str]:
    through = result.bundle.trained_through
    return {
        "volcast.model": result.bundle.name,
        "volcast.judgment": result.evaluation.judgment,
        "volcast.serves": str(result.serves).lower(),
        "volcast.simulated": str(result.bundle.simulated).lower(),
        "volcast.trained_through": "" if through is None else through.isoformat(),
    }


def _parameters(result: TrainingResult) -> dict[str, Any]:
    settings = result.bundle.config.as_dict()
    best = {} if result.search is None else result.search.best_hyperparameters
    return {**settings, **{f"best/{name}": value for name, value in best.items()}}


def _figures(evaluation: Evaluation) -> dict[str, float]:
    """All figures of an evaluation by their paths, those that exist."""
    figures = {f"symbols/{symbol}": ratio for symbol, ratio in evaluation.ratios.items()} if evaluation.symbols else {}
    for forecast, row in evaluation.metrics.items():
        figures |= {f"{'test' if forecast == MODEL else forecast}/{name}": value for name, value in row.items()}
    for horizon, part in evaluation.totals.items():
        figures |= {f"total/{horizon}/{name}": value for name, value in part.metrics[MODEL].items()}
    if evaluation.networks is not None:
        figures["networks/p_value"] = asdict(evaluation.networks)["p_value"]
    return {_NO_NAME.sub("_", name): float(value) for name, value in figures.items() if math.isfinite(value)}


def _losses_by_epoch(histories: list[dict[str, list[float]]]) -> Iterator[dict[str, float]]:
    """Losses of all networks that were still training in each epoch, by ``network_0/val_loss``."""
    losses = {
        f"network_{number}/{name}": values
        for number, history in enumerate(histories)
        for name, values in history.items()
    }
    for epoch in range(max(map(len, losses.values()), default=0)):
        yield {name: values[epoch] for name, values in losses.items() if epoch < len(values)}


def _log_bars(provenance: Mapping[str, Mapping[str, Any]]) -> None:
    from mlflow import log_inputs
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    datasets = []
    for symbol, about in provenance.items():
        source = CodeDatasetSource({**about["source"], **{name: about[name] for name in _ABOUT_BARS}})
        datasets.append(MetaDataset(source, symbol, about["sha256"][:_LONGEST_DIGEST]))
    log_inputs(datasets, ["training"] * len(datasets), [None] * len(datasets))


def _signature() -> "ModelSignature":
    """Of what is asked beside bars, and of what is answered.

    None of the bars themselves: MLflow would hand on the columns that it names, without the index' name and ``attrs``,
    and refuse volumes that are whole numbers.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    outputs = [ColSpec(getattr(DataType, kind), name) for name, kind in _ANSWERED.items()]
    params = [
        ParamSpec("asof", DataType.string, None),
        ParamSpec("horizon", DataType.string, "1"),
        ParamSpec("kind", DataType.string, "hourly"),
        ParamSpec("allow_in_sample", DataType.boolean, False),
    ]
    return ModelSignature(outputs=Schema(outputs), params=ParamSchema(params))


def _requirements() -> list[str]:
    return [f"{package}=={metadata.version(package)}" for package in (DISTRIBUTION, *_PINNED)]
