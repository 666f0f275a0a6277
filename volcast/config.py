"""The configuration of a training: its defaults, its validated form, and where each value came from."""

import difflib
import re
from collections.abc import Mapping
from datetime import date
from enum import Enum
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from volcast.errors import ConfigError
from volcast.registry import offered

__all__ = [
    "BAR_SOURCES",
    "BAR_SOURCES_GROUPS",
    "NETWORKS_GROUP",
    "SEARCHED_NETWORKS",
    "TRAINING_CONFIG",
    "Role",
    "TrainingConfig",
    "minutes_of",
]

BAR_SOURCES = ("alpaca", "yahoo", "file", "simulator")
"""Where bars can come from without another package."""

BAR_SOURCES_GROUPS = ("volcast.sources", "local_volatility_training.bar_sources")
"""Entry points of other packages' sources, today's group and the one before; see `bars.sources.registry`."""

NETWORKS_GROUP = "volcast.networks"
"""Entry points of other packages' networks; see `networks.architectures`."""

SEARCHED_NETWORKS = {"roadmap": EntryPoint("roadmap", "volcast.networks.architectures:ROADMAP", NETWORKS_GROUP)}
"""Networks whose hyperparameters are searched, by the name that the configuration gives them; loaded on use."""

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


class Role(Enum):
    """What a setting changes; each has one role, written in its field.

    An identity is made of the settings of some roles (`TrainingConfig.identity`), so it changes with these alone.
    """

    FORECAST = "forecast"
    """What hourly values a saved model is fed, and how: a model keeps these settings in any case."""
    SEARCH = "search"
    """With the windows, the search for a network: one that is interrupted goes on where these are the same."""
    TRAINING = "training"
    """The model in other ways: which hours it is trained on, what is trained, when its search ends."""
    DATA = "data"
    """Which bars there are to train on."""
    RUN = "run"
    """Where and how the work is done and what is written beside the model, which stays the same."""


class TrainingConfig(BaseModel):
    """All settings of a training, validated together; frozen.

    Each field has its default, its `Role` and its description here and nowhere else.

    Build it with `from_mapping`, which reports everything that is wrong in one `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    symbol: Annotated[str, Role.FORECAST] = "TSLA"
    """Ticker; stored in upper case."""
    start_date: Annotated[Day, Role.DATA] = date(2023, 1, 1)
    """First day of bars, New York; the default does not cut the user's own file."""
    end_date: Annotated[Day, Role.DATA] = date(2024, 12, 31)
    """Last day of bars, New York, included; the default does not cut the user's own file."""
    data_frequency: Annotated[str, Role.FORECAST] = "1Min"
    """Length of a bar as Alpaca writes it: 1Min to 59Min, 1Hour."""
    timezone: Annotated[str, Role.FORECAST] = "America/New_York"
    """Time zone of bucket labels."""
    memory: Annotated[int, Field(ge=2, le=10_000), Role.FORECAST] = 60
    """Hourly buckets in a window."""
    n_layers_range: Annotated[IntRange, Role.SEARCH] = (1, 2)
    """Fewest and most LSTM layers."""
    units_range: Annotated[IntRange, Role.SEARCH] = (16, 64)
    """Fewest and most units of a layer, in steps of 16."""
    dropout_range: Annotated[FloatRange, Role.SEARCH] = (0.0, 0.3)
    """Lowest and highest dropout, in steps of 0.1."""
    learning_rate_range: Annotated[FloatRange, Role.SEARCH] = (1e-3, 1e-2)
    """Lowest and highest learning rate of Adam."""
    batch_size: Annotated[int, Field(ge=1), Role.SEARCH] = 16
    """Windows in a gradient step."""
    epochs: Annotated[int, Field(ge=1), Role.SEARCH] = 50
    """Most epochs of a network."""
    validation_split: Annotated[Fraction, Role.TRAINING] = 0.2
    """Share of what is not test that trials are judged on."""
    early_stopping_patience: Annotated[int, Field(ge=1), Role.SEARCH] = 5
    """Epochs without a better validation loss after which a training stops."""
    max_trials: Annotated[int, Field(ge=1), Role.SEARCH] = 20
    """Networks that the search tries."""
    executions_per_trial: Annotated[int, Field(ge=1), Role.SEARCH] = 1
    """Trainings of each of them, whose validation losses are averaged."""
    model_save_path: Annotated[str, Field(min_length=1), Role.RUN] = "volatility_models/"
    """Directory where models go."""
    save_config: Annotated[bool, Role.RUN] = True
    """Whether a model keeps its whole configuration; otherwise only what its forecasts need."""
    save_history: Annotated[bool, Role.RUN] = True
    """Whether the losses of each epoch are saved."""
    seed: Annotated[int, Field(ge=1, lt=2**31), Role.SEARCH] = 42
    """Seed of everything random; at least 1, since Keras Tuner takes 0 for none."""
    engine: Annotated[Literal["auto", "fast", "keras"], Role.SEARCH] = "auto"
    """What trains: ``fast`` the compiled engine, ``keras`` Keras, ``auto`` the first where it can without a GPU."""
    preset: Annotated[Literal["session", "colab"], Role.FORECAST] = "session"
    """``session``: regular hours, no look-ahead; ``colab``: the notebook's recipe, bit for bit."""
    network: Annotated[str | None, Role.SEARCH] = None
    """``har_lstm``: a HAR refitted daily and the ensemble of LSTMs that corrects it; ``roadmap``: one LSTM on scaled
    RV, its hyperparameters searched; the name of an installed network: the same of that; None takes what belongs to
    the preset."""
    networks: Annotated[int, Field(ge=1, le=50), Role.TRAINING] = 5
    """Networks of a `har_lstm`, alike but for their seeds."""
    scaling: Annotated[Literal["diurnal_log", "minmax"] | None, Role.FORECAST] = None
    """What the network is fed; None takes what belongs to the preset."""
    tuner: Annotated[Literal["random", "bayesian", "hyperband", "median"] | None, Role.SEARCH] = None
    """The search; ``median`` is random and stops what does worse; None takes what belongs to the preset."""
    workers: Annotated[int | None, Field(ge=1, le=256), Role.RUN] = None
    """Processes of this machine that train trials; None takes its cores, where there is enough to do."""
    chief: Annotated[str | None, Field(pattern=r"^[^:\s]+:\d+$"), Role.RUN] = None
    """Address, HOST:PORT, at which workers of other machines may join the search; None lets none join."""
    test_split: Annotated[float, Field(gt=0, lt=1), Role.TRAINING] = 0.15
    """Share of the buckets, the last ones, that neither search nor training sees (`session`)."""
    test_from: Annotated[Day | None, Role.TRAINING] = None
    """First day of the test part, New York, in place of `test_split` (`session`)."""
    max_search_minutes: Annotated[float | None, Field(gt=0), Role.TRAINING] = None
    """Minutes after which no further trial begins; None sets no limit."""
    resume: Annotated[bool, Role.RUN] = True
    """Whether an interrupted search of the same kind goes on."""
    bars_source: Annotated[str, Field(min_length=1), Role.DATA] = "auto"
    """Where bars come from: ``alpaca``, ``yahoo``, ``file``, ``simulator``, or the name of an installed source;
    ``auto``: the file if there is one, else Alpaca."""
    bars_path: Annotated[str | None, Role.DATA] = None
    """The user's own bars: a CSV, Parquet or Feather file, a directory or a glob of such."""
    bars_timezone: Annotated[str | None, Role.DATA] = None
    """Time zone of their stamps where they carry none."""
    bars_stamps: Annotated[Literal["start", "end"] | None, Role.DATA] = None
    """Whether their stamps are the start or the end of a bar; None takes what is known of their format, else start."""
    bars_epoch: Annotated[Literal["s", "ms", "us", "ns"] | None, Role.DATA] = None
    """Unit of their stamps where they are numbers; None recognizes it by its size."""
    bars_dates: Annotated[Literal["mdy", "dmy"] | None, Role.DATA] = None
    """Whether dates with slashes have the month or the day first; None takes what the days tell."""
    feed: Annotated[Literal["auto", "sip", "iex"], Role.DATA] = "auto"
    """Alpaca's feed; ``auto``: the consolidated one where the keys' plan has it, else IEX, which is said."""
    adjustment: Annotated[Literal["raw", "split", "dividend", "all"], Role.DATA] = "all"
    """Alpaca's adjustment of prices."""
    cache_dir: Annotated[str | None, Role.RUN] = None
    """Where Alpaca's bars are kept; None is the user's cache directory."""
    offline: Annotated[bool, Role.RUN] = False
    """Whether Alpaca's bars come from the cache alone."""
    cleaning: Annotated[tuple[CleaningRule, ...], BeforeValidator(_names), Role.DATA] = ()
    """Rules of cleaning to apply to bars of any source, or ``all``; what they do is counted and said."""
    accept_quality: Annotated[bool, Role.RUN] = False
    """Whether to train on bars that are judged bad; what was accepted is said."""
    rv_estimator: Annotated[str, Role.FORECAST] = "close"
    """How variance is made of the bars of a bucket: a name of `measures.estimators` (`session`)."""
    calendar: Annotated[str, Role.FORECAST] = "XNYS"
    """Exchange, by its name in `exchange_calendars`; its hours must be New York's."""
    min_bucket_coverage: Annotated[float, Field(ge=0, le=1), Role.FORECAST] = 0.8
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
        return type(self).from_mapping({name: getattr(self, name) for name in self.names_of(Role.FORECAST)})

    @classmethod
    def names_of(cls, *roles: Role) -> list[str]:
        """The settings that have one of `roles`."""
        return [name for name, field in cls.model_fields.items() if any(role in field.metadata for role in roles)]

    def identity(self, *roles: Role) -> dict[str, Any]:
        """The settings of `roles`, ready for JSON: equal where what depends on them is equal.

        A choice that is left open is the one that it comes to: None or its name are the same.
        """
        settings = self.as_dict() | {
            "network": self.effective_network,
            "tuner": self.effective_tuner,
            "scaling": self.effective_scaling,
            "bars_source": self.effective_source,
        }
        return {name: settings[name] for name in self.names_of(*roles)}

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
        first, last = (type(self).model_fields[name].default for name in ("start_date", "end_date"))
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
            others = sorted(offered(*BAR_SOURCES_GROUPS))
            if value not in others:
                names = ", ".join(repr(name) for name in ("auto", *BAR_SOURCES, *others))
                raise ValueError(f"must be one of {names}")
        return value

    @field_validator("rv_estimator")
    @classmethod
    def _known_estimator(cls, value: str) -> str:
        if value not in get_args(RvEstimator) and value not in (others := offered("volcast.estimators")):
            raise ValueError(f"must be one of {', '.join(repr(name) for name in (*get_args(RvEstimator), *others))}")
        return value

    @field_validator("network")
    @classmethod
    def _known_network(cls, value: str | None) -> str | None:
        names = ("har_lstm", *SEARCHED_NETWORKS)
        if value not in (None, *names) and value not in (others := offered(NETWORKS_GROUP)):
            raise ValueError(f"must be one of {', '.join(repr(name) for name in (*names, *others))}")
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
        if value == cls.model_fields["calendar"].default:
            return value
        from exchange_calendars import get_calendar_names

        if value not in (names := get_calendar_names()):
            near = difflib.get_close_matches(value, names, 1)
            raise ValueError(f"must be an exchange of exchange_calendars such as {near[0] if near else 'XNYS'}")
        return value


TRAINING_CONFIG: dict[str, Any] = {
    name: str(field.default) if isinstance(field.default, date) else field.default
    for name, field in TrainingConfig.model_fields.items()
}
"""Defaults of every setting, dates as text; `TrainingConfig` describes each."""


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
    if config.preset == "colab" and config.network not in (None, "roadmap"):
        problems.append(
            f"preset is 'colab' and network is {config.network!r}; the notebook's network is 'roadmap' only"
        )
    return problems
