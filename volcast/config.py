"""The configuration of a training: its defaults, its validated form, and where each value came from."""

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from volcast.errors import ConfigError

__all__ = ["BAR_SOURCES", "BAR_SOURCES_GROUP", "TRAINING_CONFIG", "TrainingConfig", "minutes_of"]

TRAINING_CONFIG: dict[str, Any] = {
    "symbol": "TSLA",
    "start_date": "2023-01-01",
    "end_date": "2024-12-31",
    "data_frequency": "1Min",
    "timezone": "America/New_York",
    "memory": 60,
    "n_layers_range": (1, 2),
    "units_range": (16, 64),
    "dropout_range": (0.0, 0.3),
    "learning_rate_range": (1e-3, 1e-2),
    "batch_size": 16,
    "epochs": 50,
    "validation_split": 0.2,
    "early_stopping_patience": 5,
    "max_trials": 20,
    "executions_per_trial": 1,
    "model_save_path": "volatility_models/",
    "save_config": True,
    "save_history": True,
    # What follows is the product's own.
    "seed": 42,
    "engine": "auto",
    "preset": "session",
    "network": None,
    "networks": 5,
    "scaling": None,
    "tuner": None,
    "workers": None,
    "chief": None,
    "test_split": 0.15,
    "test_from": None,
    "max_search_minutes": None,
    "resume": True,
    "bars_source": "auto",
    "bars_path": None,
    "bars_timezone": None,
    "bars_stamps": None,
    "bars_epoch": None,
    "bars_dates": None,
    "feed": "auto",
    "adjustment": "all",
    "cache_dir": None,
    "offline": False,
    "cleaning": (),
    "accept_quality": False,
    "rv_estimator": "close",
    "calendar": "XNYS",
    "min_bucket_coverage": 0.8,
}
"""Defaults of every setting; `TrainingConfig` describes each."""

BAR_SOURCES = ("alpaca", "yahoo", "file", "simulator")
"""Where bars can come from without another package."""

BAR_SOURCES_GROUP = "local_volatility_training.bar_sources"
"""Entry points of other packages' sources; see `bar_sources`."""

_FORECASTING = (
    "symbol", "data_frequency", "timezone", "memory", "preset", "scaling", "calendar", "min_bucket_coverage",
    "rv_estimator",
)  # fmt: skip
_TICKER = re.compile(r"[A-Za-z0-9.\-/^=]+")
_FREQUENCY = re.compile(r"(\d+)(Min|Hour)")
_MINUTES = {"Min": 1, "Hour": 60}


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _iso_date(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a date such as 2024-12-31") from None


def _names(value: Any) -> Any:
    return tuple(part for part in value.replace(" ", "").split(",") if part) if isinstance(value, str) else _pair(value)


IntRange = Annotated[tuple[int, int], BeforeValidator(_pair)]
FloatRange = Annotated[tuple[float, float], BeforeValidator(_pair)]
CleaningRule = Literal[
    "all", "missing", "zero", "order", "duplicates", "crossed", "outside", "splits", "stale", "ticks", "wicks"
]
RvEstimator = Literal[
    "close",
    "subsampled",
    "bipower",
    "medrv",
    "down_semivariance",
    "up_semivariance",
    "two_scale",
    "parkinson",
    "garman_klass",
    "rogers_satchell",
    "yang_zhang",
]
Day = Annotated[date, BeforeValidator(_iso_date)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class TrainingConfig(BaseModel):
    """All settings of a training, validated together; frozen.

    Build it with `from_mapping`, which reports everything that is wrong in one `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    symbol: str = TRAINING_CONFIG["symbol"]
    """Ticker; stored in upper case."""
    start_date: Day = TRAINING_CONFIG["start_date"]
    """First day of bars, New York; the default does not cut the user's own file."""
    end_date: Day = TRAINING_CONFIG["end_date"]
    """Last day of bars, New York, included; the default does not cut the user's own file."""
    data_frequency: str = TRAINING_CONFIG["data_frequency"]
    """Length of a bar as Alpaca writes it: 1Min to 59Min, 1Hour."""
    timezone: str = TRAINING_CONFIG["timezone"]
    """Time zone of bucket labels."""
    memory: Annotated[int, Field(ge=2, le=10_000)] = TRAINING_CONFIG["memory"]
    """Hourly buckets in a window."""
    n_layers_range: IntRange = TRAINING_CONFIG["n_layers_range"]
    """Fewest and most LSTM layers."""
    units_range: IntRange = TRAINING_CONFIG["units_range"]
    """Fewest and most units of a layer, in steps of 16."""
    dropout_range: FloatRange = TRAINING_CONFIG["dropout_range"]
    """Lowest and highest dropout, in steps of 0.1."""
    learning_rate_range: FloatRange = TRAINING_CONFIG["learning_rate_range"]
    """Lowest and highest learning rate of Adam."""
    batch_size: Annotated[int, Field(ge=1)] = TRAINING_CONFIG["batch_size"]
    """Windows in a gradient step."""
    epochs: Annotated[int, Field(ge=1)] = TRAINING_CONFIG["epochs"]
    """Most epochs of a network."""
    validation_split: Fraction = TRAINING_CONFIG["validation_split"]
    """Share of what is not test that trials are judged on."""
    early_stopping_patience: Annotated[int, Field(ge=1)] = TRAINING_CONFIG["early_stopping_patience"]
    """Epochs without a better validation loss after which a training stops."""
    max_trials: Annotated[int, Field(ge=1)] = TRAINING_CONFIG["max_trials"]
    """Networks that the search tries."""
    executions_per_trial: Annotated[int, Field(ge=1)] = TRAINING_CONFIG["executions_per_trial"]
    """Trainings of each of them, whose validation losses are averaged."""
    model_save_path: Annotated[str, Field(min_length=1)] = TRAINING_CONFIG["model_save_path"]
    """Directory where models go."""
    save_config: bool = TRAINING_CONFIG["save_config"]
    """Whether a model keeps its whole configuration; otherwise only what its forecasts need."""
    save_history: bool = TRAINING_CONFIG["save_history"]
    """Whether the losses of each epoch are saved."""
    seed: Annotated[int, Field(ge=1, lt=2**31)] = TRAINING_CONFIG["seed"]
    """Seed of everything random; at least 1, since Keras Tuner takes 0 for none."""
    engine: Literal["auto", "fast", "keras"] = TRAINING_CONFIG["engine"]
    """What trains: ``fast`` the compiled engine, ``keras`` Keras, ``auto`` the first where it can without a GPU."""
    preset: Literal["session", "colab"] = TRAINING_CONFIG["preset"]
    """``session``: regular hours, no look-ahead; ``colab``: the notebook's recipe, bit for bit."""
    network: Literal["har_lstm", "roadmap"] | None = TRAINING_CONFIG["network"]
    """``har_lstm``: a HAR refitted daily and the ensemble of LSTMs that corrects it; ``roadmap``: one LSTM on scaled
    RV, its hyperparameters searched; None takes what belongs to the preset."""
    networks: Annotated[int, Field(ge=1, le=50)] = TRAINING_CONFIG["networks"]
    """Networks of a `har_lstm`, alike but for their seeds."""
    scaling: Literal["diurnal_log", "minmax"] | None = TRAINING_CONFIG["scaling"]
    """What the network is fed; None takes what belongs to the preset."""
    tuner: Literal["random", "bayesian", "hyperband", "median"] | None = TRAINING_CONFIG["tuner"]
    """The search; ``median`` is random and stops what does worse; None takes what belongs to the preset."""
    workers: Annotated[int, Field(ge=1, le=256)] | None = TRAINING_CONFIG["workers"]
    """Processes of this machine that train trials; None takes its cores, where there is enough to do."""
    chief: Annotated[str, Field(pattern=r"^[^:\s]+:\d+$")] | None = TRAINING_CONFIG["chief"]
    """Address, HOST:PORT, at which workers of other machines may join the search; None lets none join."""
    test_split: Annotated[float, Field(gt=0, lt=1)] = TRAINING_CONFIG["test_split"]
    """Share of the buckets, the last ones, that neither search nor training sees (`session`)."""
    test_from: Day | None = TRAINING_CONFIG["test_from"]
    """First day of the test part, New York, in place of `test_split` (`session`)."""
    max_search_minutes: Annotated[float, Field(gt=0)] | None = TRAINING_CONFIG["max_search_minutes"]
    """Minutes after which no further trial begins; None sets no limit."""
    resume: bool = TRAINING_CONFIG["resume"]
    """Whether an interrupted search of the same kind goes on."""
    bars_source: Annotated[str, Field(min_length=1)] = TRAINING_CONFIG["bars_source"]
    """Where bars come from: ``alpaca``, ``yahoo``, ``file``, ``simulator``, or the name of an installed source;
    ``auto``: the file if there is one, else Alpaca."""
    bars_path: str | None = TRAINING_CONFIG["bars_path"]
    """The user's own bars: a CSV, Parquet or Feather file, a directory or a glob of such."""
    bars_timezone: str | None = TRAINING_CONFIG["bars_timezone"]
    """Time zone of their stamps where they carry none."""
    bars_stamps: Literal["start", "end"] | None = TRAINING_CONFIG["bars_stamps"]
    """Whether their stamps are the start or the end of a bar; None takes what is known of their format, else start."""
    bars_epoch: Literal["s", "ms", "us", "ns"] | None = TRAINING_CONFIG["bars_epoch"]
    """Unit of their stamps where they are numbers; None recognizes it by its size."""
    bars_dates: Literal["mdy", "dmy"] | None = TRAINING_CONFIG["bars_dates"]
    """Whether dates with slashes have the month or the day first; None takes what the days tell."""
    feed: Literal["auto", "sip", "iex"] = TRAINING_CONFIG["feed"]
    """Alpaca's feed; ``auto``: the consolidated one where the keys' plan has it, else IEX, which is said."""
    adjustment: Literal["raw", "split", "dividend", "all"] = TRAINING_CONFIG["adjustment"]
    """Alpaca's adjustment of prices."""
    cache_dir: str | None = TRAINING_CONFIG["cache_dir"]
    """Where Alpaca's bars are kept; None is the user's cache directory."""
    offline: bool = TRAINING_CONFIG["offline"]
    """Whether Alpaca's bars come from the cache alone."""
    cleaning: Annotated[tuple[CleaningRule, ...], BeforeValidator(_names)] = TRAINING_CONFIG["cleaning"]
    """Rules of cleaning to apply to bars of any source, or ``all``; what they do is counted and said."""
    accept_quality: bool = TRAINING_CONFIG["accept_quality"]
    """Whether to train on bars that are judged bad; what was accepted is said."""
    rv_estimator: RvEstimator = TRAINING_CONFIG["rv_estimator"]
    """How variance is made of the bars of a bucket: a name of `rv_estimators` (`session`)."""
    calendar: str = TRAINING_CONFIG["calendar"]
    """Exchange, by its name in `exchange_calendars`; its hours must be New York's."""
    min_bucket_coverage: Annotated[float, Field(ge=0, le=1)] = TRAINING_CONFIG["min_bucket_coverage"]
    """Share of a bucket's bars below which it is dropped (`session`)."""

    @classmethod
    def from_mapping(cls, settings: "Mapping[str, Any] | TrainingConfig | None" = None) -> Self:
        """The configuration of `settings`, defaults where it is silent.

        Raises
        ------
        ConfigError
            One sentence that names every unknown key with the nearest right one, every wrong value with its rule,
            and what contradicts what.
        """
        if isinstance(settings, cls):
            return settings
        given = dict(settings or {})
        problems = [_unknown_key(key) for key in given if key not in cls.model_fields]
        known = {key: value for key, value in given.items() if key in cls.model_fields}
        try:
            config = cls.model_validate(known)
        except ValidationError as error:
            details = error.errors()
            problems += [_wrong_value(detail) for detail in details]
            wrong = {detail["loc"][0] for detail in details}
            config = cls.model_validate({key: value for key, value in known.items() if key not in wrong})
        problems += _contradictions(config)
        if problems:
            raise ConfigError("the configuration is not usable: " + "; ".join(problems) + ".")
        return config

    def with_overrides(self, **settings: Any) -> Self:
        """This configuration with other values for some keys, validated anew."""
        return type(self).from_mapping({**self.model_dump(), **settings})

    def as_dict(self) -> dict[str, Any]:
        """All settings, ready for JSON."""
        return self.model_dump(mode="json")

    def for_forecasting(self) -> Self:
        """Only the settings that a model's forecasts depend on; defaults for the rest."""
        return type(self).from_mapping({name: getattr(self, name) for name in _FORECASTING})

    @property
    def effective_network(self) -> str:
        """The network that is trained: `network`, or the preset's own."""
        return self.network or ("roadmap" if self.preset == "colab" else "har_lstm")

    @property
    def effective_tuner(self) -> str:
        """The search that is made: `tuner`, or the preset's own."""
        return self.tuner or ("random" if self.preset == "colab" else "median")

    @property
    def effective_scaling(self) -> str:
        """The scaler that is used: `scaling`, or the preset's own."""
        return self.scaling or ("minmax" if self.preset == "colab" else "diurnal_log")

    @property
    def effective_source(self) -> str:
        """Where bars are asked for: ``"file"``, ``"alpaca"``, ``"yahoo"``, ``"simulator"``, or another's name."""
        if self.bars_source != "auto":
            return self.bars_source
        return "alpaca" if self.bars_path is None else "file"

    @property
    def requested_span(self) -> tuple[date | None, date | None]:
        """First and last day to ask for; None where the user's own file is not to be cut."""
        if self.effective_source != "file":
            return self.start_date, self.end_date
        first, last = (date.fromisoformat(TRAINING_CONFIG[name]) for name in ("start_date", "end_date"))
        return None if self.start_date == first else self.start_date, None if self.end_date == last else self.end_date

    @field_validator("symbol")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if _TICKER.fullmatch(value) is None:
            raise ValueError("must be a ticker of letters, digits and any of . - / ^ =")
        return value.upper()

    @field_validator("bars_source")
    @classmethod
    def _known_source(cls, value: str) -> str:
        if value not in ("auto", *BAR_SOURCES):
            from importlib.metadata import entry_points

            others = sorted(point.name for point in entry_points(group=BAR_SOURCES_GROUP))
            if value not in others:
                names = ", ".join(repr(name) for name in ("auto", *BAR_SOURCES, *others))
                raise ValueError(f"must be one of {names}")
        return value

    @field_validator("data_frequency")
    @classmethod
    def _known_frequency(cls, value: str) -> str:
        minutes_of(value)
        return value

    @field_validator("timezone", "bars_timezone")
    @classmethod
    def _known_timezone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            near = difflib.get_close_matches(value, available_timezones(), 1)
            raise ValueError("must be a time zone such as " + (near[0] if near else "America/New_York"))
        return value

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str) -> str:
        if value == TRAINING_CONFIG["calendar"]:
            return value
        from exchange_calendars import get_calendar_names

        if value not in (names := get_calendar_names()):
            near = difflib.get_close_matches(value, names, 1)
            raise ValueError(f"must be an exchange of exchange_calendars such as {near[0] if near else 'XNYS'}")
        return value


def minutes_of(frequency: str) -> int:
    """Minutes of a bar whose length is written as Alpaca does: ``1Min`` to ``59Min``, or ``1Hour``.

    Raises
    ------
    ValueError
        It is not.
    """
    match = _FREQUENCY.fullmatch(frequency)
    minutes = int(match[1]) * _MINUTES[match[2]] if match else 0
    if not 1 <= minutes <= 60:
        raise ValueError("must be 1Min to 59Min, or 1Hour")
    return minutes


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(str(key), TrainingConfig.model_fields, 1, 0.5)
    return f"{key!r} is no setting" + (f", did you mean {near[0]!r}?" if near else "")


def _wrong_value(detail: Any) -> str:
    rule = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{detail['loc'][0]} is {detail['input']!r}, but {_lower_first(rule)}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _contradictions(config: TrainingConfig) -> list[str]:
    problems = []
    first, last = config.requested_span
    if first is not None and last is not None and last < first:
        problems.append(f"end_date {last} is before start_date {first}; it must not be earlier")
    for name, lowest, highest in (
        ("n_layers_range", 1, 8),
        ("units_range", 1, 4096),
        ("dropout_range", 0, 0.95),
        ("learning_rate_range", 1e-8, 10),
    ):
        low, high = getattr(config, name)
        if low > high:
            problems.append(f"{name} is ({low}, {high}), which is empty; the first must not exceed the second")
        elif low < lowest or high > highest:
            problems.append(f"{name} is ({low}, {high}); both must lie between {lowest} and {highest}")
    if config.validation_split + config.test_split >= 0.9:
        problems.append(
            f"validation_split {config.validation_split} and test_split {config.test_split} leave too little "
            "to train on; their sum must be under 0.9"
        )
    if config.bars_source == "file" and config.bars_path is None:
        problems.append("bars_source is 'file' and bars_path is missing; give the file's path")
    if config.bars_source not in ("auto", "file") and config.bars_path is not None:
        problems.append(f"bars_source is {config.bars_source!r} and bars_path is given too; leave one of them out")
    if config.preset == "colab" and config.rv_estimator != "close":
        problems.append(f"preset is 'colab' and rv_estimator is {config.rv_estimator!r}; the notebook's is 'close'")
    if config.preset == "colab" and config.scaling == "diurnal_log":
        problems.append("preset is 'colab' and scaling is 'diurnal_log'; the notebook's preset is 'minmax' only")
    if config.preset == "colab" and config.network == "har_lstm":
        problems.append("preset is 'colab' and network is 'har_lstm'; the notebook's network is 'roadmap' only")
    return problems
