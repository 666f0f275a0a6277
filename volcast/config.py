"""The configuration of a training: its defaults, its validated form, and where each value came from."""

import ast
import difflib
import inspect
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cache
from importlib.metadata import EntryPoint
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from volcast.bars.sources.registry import BAR_SOURCES, minutes_of, source_names
from volcast.errors import ConfigError
from volcast.files import file_name_of
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE, default_market
from volcast.registry import offered

if TYPE_CHECKING:
    from volcast.markets.market import TradingMarket

__all__ = ["NETWORKS_GROUP", "SEARCHED_NETWORKS", "TRAINING_CONFIG", "Flag", "Role", "TrainingConfig"]

NETWORKS_GROUP = "volcast.networks"
"""Entry points of other packages' networks; see `networks.architectures`."""

SEARCHED_NETWORKS = {"roadmap": EntryPoint("roadmap", "volcast.networks.architectures:ROADMAP", NETWORKS_GROUP)}
"""Networks whose hyperparameters are searched, by the name that the configuration gives them; loaded on use."""

_LONGEST_NAME, _LONGEST_PATH = 200, 3000
_SHORTENED = reprlib.Repr()
_SHORTENED.maxstring = _SHORTENED.maxother = 80
_FIRST_DAY, _LAST_DAY = date(1995, 1, 3), date(2099, 12, 31)


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _iso_date(value: Any) -> Any:
    # NaT is one, and unequal to itself.
    if isinstance(value, date) and value != value:
        raise ValueError("must be a date such as 2024-12-31")
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a date such as 2024-12-31") from None


def _within_reach(value: date) -> date:
    if not _FIRST_DAY <= value <= _LAST_DAY:
        raise ValueError(f"must lie between {_FIRST_DAY} and {_LAST_DAY}")
    return value


def _names(value: Any) -> Any:
    return tuple(part for part in value.replace(" ", "").split(",") if part) if isinstance(value, str) else _pair(value)


def _path(value: str) -> str:
    try:
        coded = os.fsencode(value)
    except UnicodeEncodeError:
        coded = b"\0"
    if not coded or b"\0" in coded:
        raise ValueError("must be a path")
    if len(coded) > _LONGEST_PATH or max(map(len, coded.split(b"/"))) > _LONGEST_NAME:
        raise ValueError(f"must be a path of up to {_LONGEST_PATH:,} letters, {_LONGEST_NAME} a name")
    return value


IntRange = Annotated[tuple[int, int], BeforeValidator(_pair)]
FloatRange = Annotated[tuple[float, float], BeforeValidator(_pair)]
Day = Annotated[date, BeforeValidator(_iso_date), AfterValidator(_within_reach)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
FilePath = Annotated[str, AfterValidator(_path)]


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


@dataclass(frozen=True)
class Flag:
    """How a setting is given on the command line: the option, and what stands for its value in the help.

    A switch has no value: it says yes.
    """

    name: str
    value: str | None = None


Bucket = Literal["5min", "15min", "30min", "1h", "2h", "session"]
"""Lengths of buckets by name, see `markets.market.BUCKETS`."""


class TrainingConfig(BaseModel):
    """All settings of a training, validated together; frozen.

    Each field has its default, its `Role`, its `Flag` where the command line offers it, and its sentence (the
    docstring below it) here and nowhere else: help, documents and menus are made of them.

    Build it with `from_mapping`, which reports everything that is wrong in one `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    symbol: Annotated[str, Role.FORECAST, Flag("--symbol", "S")] = "TSLA"
    """Ticker, in capitals."""
    start_date: Annotated[Day, Role.DATA, Flag("--start-date", "D")] = date(2023, 1, 1)
    """First day of bars, the market's; the default does not cut your own file."""
    end_date: Annotated[Day, Role.DATA, Flag("--end-date", "D")] = date(2024, 12, 31)
    """Last day of bars, the market's, included; the default does not cut your own file."""
    data_frequency: Annotated[str, Role.FORECAST, Flag("--timeframe", "T")] = "1Min"
    """Length of a bar as Alpaca writes it: 1Min to 59Min, 1Hour."""
    timezone: Annotated[str, Role.FORECAST] = DEFAULT_ZONE
    """Time zone of bucket labels; the default is that of the market's clock, New York's or another."""
    memory: Annotated[int, Field(ge=2, le=10_000), Role.FORECAST] = 60
    """Buckets that a network looks back."""
    n_layers_range: Annotated[IntRange, Role.SEARCH] = (1, 2)
    """Fewest and most LSTM layers."""
    units_range: Annotated[IntRange, Role.SEARCH] = (16, 64)
    """Fewest and most units of a layer, in steps of 16."""
    dropout_range: Annotated[FloatRange, Role.SEARCH] = (0.0, 0.3)
    """Lowest and highest dropout, in steps of 0.1."""
    learning_rate_range: Annotated[FloatRange, Role.SEARCH] = (1e-3, 1e-2)
    """Lowest and highest learning rate of Adam, sampled on a log scale."""
    batch_size: Annotated[int, Field(ge=1), Role.SEARCH] = 16
    """Windows in a gradient step."""
    epochs: Annotated[int, Field(ge=1), Role.SEARCH, Flag("--epochs", "N")] = 50
    """Epochs of a network at the most."""
    validation_split: Annotated[Fraction, Role.TRAINING] = 0.2
    """Share of what is not test that trials are judged on."""
    early_stopping_patience: Annotated[int, Field(ge=1), Role.SEARCH] = 5
    """Epochs without a better validation loss after which a training stops."""
    max_trials: Annotated[int, Field(ge=1), Role.SEARCH, Flag("--max-trials", "N")] = 20
    """Networks that the roadmap's search tries."""
    executions_per_trial: Annotated[int, Field(ge=1), Role.SEARCH] = 1
    """Trainings of each of them, whose validation losses are averaged."""
    model_save_path: Annotated[FilePath, Role.RUN, Flag("--output", "DIR")] = "volatility_models/"
    """Directory of the models."""
    save_config: Annotated[bool, Role.RUN] = True
    """Whether a model keeps its whole configuration; otherwise only what its forecasts need."""
    save_history: Annotated[bool, Role.RUN] = True
    """Whether the losses of each epoch are saved."""
    seed: Annotated[int, Field(ge=1, lt=2**31), Role.SEARCH, Flag("--seed", "N")] = 42
    """Seed of everything random, at least 1: the same seed gives the same trials, weights and figures."""
    engine: Annotated[Literal["auto", "fast", "keras"], Role.SEARCH, Flag("--engine", "E")] = "auto"
    """What trains: ``fast`` the compiled engine on the CPU, ``keras`` Keras, on a GPU where there is one, ``auto`` the
    first where it knows the network."""
    symbols: Annotated[tuple[str, ...], BeforeValidator(_names), Role.FORECAST] = ()
    """Tickers to train one model over, in place of `symbol` (`har_lstm`)."""
    companions: Annotated[tuple[str, ...], BeforeValidator(_names), Role.FORECAST, Flag("--companions", "A,B,C")] = ()
    """Tickers that the model of `symbol` learns from too, from the configured source; ``auto`` is a dozen of the most
    liquid stocks and funds (`har_lstm`)."""
    preset: Annotated[Literal["session", "colab"], Role.FORECAST, Flag("--preset", "P")] = "session"
    """Rules of the hours: ``session``, the exchange's, without look-ahead; ``colab``, the notebook's, bit for bit."""
    network: Annotated[str | None, Role.SEARCH, Flag("--network", "N")] = None
    """What is trained: ``har_lstm``, a HAR refitted daily and the ensemble of LSTMs that corrects it, by default under
    ``session``; ``roadmap``, one LSTM on scaled RV, its hyperparameters searched for, always under ``colab``; or
    the name of an installed network that is searched for."""
    networks: Annotated[int, Field(ge=1, le=50), Role.TRAINING] = 5
    """Networks of a ``har_lstm``, alike but for their seeds."""
    cell: Annotated[Literal["lstm", "gru"], Role.SEARCH, Flag("--cell", "C")] = "lstm"
    """What the layers of the networks are made of: ``lstm``, or ``gru``, which has a quarter fewer weights."""
    nights: Annotated[Literal["auto", "never"], Role.TRAINING, Flag("--nights", "N")] = "auto"
    """Whether a ``har_lstm`` sees what trades between sessions: ``auto``, where the bars have at least half of their
    nights; ``never``, what lies outside of sessions is not looked at."""
    overnight_symbol: Annotated[str | None, Role.FORECAST, Flag("--overnight-symbol", "S")] = None
    """Another ticker, whose bars tell a ``har_lstm`` of the nights in place of its own, such as ``NQ`` for QQQ: from
    `overnight_path`, or else from the configured source."""
    overnight_path: Annotated[FilePath | None, Role.DATA, Flag("--overnight-bars", "PATH")] = None
    """Your own bars of `overnight_symbol`: a CSV, Parquet or Feather file, a directory or a glob of such."""
    known_days: Annotated[tuple[str, ...], BeforeValidator(_names), Role.TRAINING, Flag("--known-days", "KINDS")] = ()
    """Days that a ``har_lstm`` knows ahead beside the Fed's, with commas: kinds that ``volcast bars days`` lists, and
    files (.csv) of your own with the columns date, time, kind and symbol."""
    scaling: Annotated[Literal["diurnal_log", "minmax"] | None, Role.FORECAST] = None
    """What the roadmap's network is fed: ``diurnal_log``, by default under ``session``; ``minmax``, always under
    ``colab``."""
    tuner: Annotated[Literal["random", "bayesian", "hyperband", "median"] | None, Role.SEARCH, Flag("--tuner", "T")] = (
        None
    )
    """How the roadmap's search goes: ``median``, by default under ``session``, is random, but what does worse than the
    median of the first five had done by then is not trained on; ``random``, by default under ``colab``; ``bayesian``;
    ``hyperband``, which sets its own number of trials."""
    workers: Annotated[int | None, Field(ge=1, le=256), Role.RUN, Flag("--workers", "N")] = None
    """Trials, or networks of a model, that this machine trains at once; by default one a core, where there is enough to
    do."""
    chief: Annotated[str | None, Field(pattern=r"^[^:\s]+:\d+$"), Role.RUN, Flag("--chief", "HOST:PORT")] = None
    """Address, HOST:PORT, at which workers of other machines may join the search."""
    test_split: Annotated[float, Field(gt=0, lt=1), Role.TRAINING] = 0.15
    """Share of the buckets, the last ones, that neither search nor training sees; ``colab`` takes seven days."""
    test_from: Annotated[Day | None, Role.TRAINING, Flag("--test-from", "D")] = None
    """First day of the test part, of the market's, in place of its share (``session``)."""
    max_search_minutes: Annotated[float | None, Field(gt=0), Role.TRAINING, Flag("--max-search-minutes", "M")] = None
    """Minutes after which no further trial begins."""
    resume: Annotated[bool, Role.RUN, Flag("--resume")] = True
    """Go on with an interrupted search of the same kind."""
    bars_source: Annotated[str, Role.DATA, Flag("--source", "NAME")] = "auto"
    """Where bars come from: ``alpaca``, ``yahoo``, ``binance``, ``coinbase``, ``kraken``, ``file``, ``simulator``, or
    the name of an installed source; ``auto``: the file if there is one, else Alpaca."""
    bars_path: Annotated[FilePath | None, Role.DATA, Flag("--bars", "PATH")] = None
    """Your own bars: a CSV, Parquet or Feather file, a directory or a glob of such."""
    bars_timezone: Annotated[str | None, Role.DATA, Flag("--bars-timezone", "ZONE")] = None
    """Time zone of the stamps in your file where they carry none."""
    bars_stamps: Annotated[Literal["start", "end"] | None, Role.DATA, Flag("--bars-stamps", "SIDE")] = None
    """Whether the stamps in your file are the ``start`` or the ``end`` of a bar; by default what is known of its
    format, else the start."""
    bars_epoch: Annotated[Literal["s", "ms", "us", "ns"] | None, Role.DATA, Flag("--bars-epoch", "UNIT")] = None
    """Unit of the stamps in your file where they are numbers: ``s``, ``ms``, ``us`` or ``ns``; by default it is
    recognized by its size."""
    bars_dates: Annotated[Literal["mdy", "dmy"] | None, Role.DATA, Flag("--bars-dates", "ORDER")] = None
    """Whether dates as 01/02/2024 are ``mdy`` or ``dmy``; by default what the days tell."""
    feed: Annotated[Literal["auto", "sip", "iex"], Role.DATA, Flag("--feed", "F")] = "auto"
    """Which feed of Alpaca's: ``sip``, the consolidated one; ``iex``; ``auto``: the first where the keys' plan has it,
    else the second, which is said."""
    adjustment: Annotated[Literal["raw", "split", "dividend", "all"], Role.DATA, Flag("--adjustment", "A")] = "all"
    """What Alpaca's prices are adjusted for: ``all``, ``split``, ``dividend``, or nothing (``raw``)."""
    cache_dir: Annotated[FilePath | None, Role.RUN, Flag("--cache-dir", "DIR")] = None
    """Where fetched bars are kept; by default the user's cache directory."""
    offline: Annotated[bool, Role.RUN, Flag("--offline")] = False
    """Take bars from the cache alone."""
    cleaning: Annotated[tuple[str, ...], BeforeValidator(_names), Role.DATA, Flag("--clean", "RULES")] = ()
    """Rules by which bars are mended, with commas, or ``all``; what they do is counted and said."""
    roll_days: Annotated[tuple[str, ...], BeforeValidator(_names), Role.DATA, Flag("--roll-days", "DAYS")] = ()
    """When a future goes over to another contract, in the market's time: days, moments (2024-03-14T09:30), or .csv
    files of them, with commas; the steps there are taken out. ``never``: no step is one. By default they are looked
    for, and asked about."""
    accept_quality: Annotated[bool, Role.RUN, Flag("--accept-quality")] = False
    """Take bars that are judged bad, too; what was accepted is said."""
    accept_verdict: Annotated[bool, Role.RUN, Flag("--accept-verdict")] = False
    """Let a new model serve whose verdict is not to use it, too; otherwise it is saved, and what served serves on."""
    rv_estimator: Annotated[str, Role.FORECAST, Flag("--rv-estimator", "E")] = "close"
    """How variance is made of the bars of a bucket: an estimator's name, such as ``medrv`` (``session``)."""
    market: Annotated[str | None, Role.FORECAST, Flag("--market", "M")] = None
    """Whose sessions, hours and days: an exchange by its name in ``exchange_calendars``, such as XNAS, XLON or CMES;
    ``24/7`` for coins, ``24/5`` for currencies; by default what the symbol and the source tell. ``calendar`` means the
    same."""
    bucket: Annotated[Bucket, Role.FORECAST, Flag("--bucket", "B")] = "1h"
    """Length of the buckets whose volatility is measured and forecast: ``5min``, ``15min``, ``30min``, ``1h``, ``2h``,
    or a whole ``session``."""
    min_bucket_coverage: Annotated[float, Field(ge=0, le=1), Role.FORECAST] = 0.8
    """Share of a bucket's bars below which it is dropped (``session``)."""

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
        if settings is not None and not isinstance(settings, Mapping):
            raise ConfigError(
                f"the configuration is {_SHORTENED.repr(settings)}, but must be settings by name; give them as "
                "{'symbol': 'SPY'}."
            )
        values = dict(settings or {})
        if "calendar" in values:
            values.setdefault("market", values.pop("calendar"))
        problems = [_unknown_key(key) for key in values if key not in cls.model_fields]
        values = {key: value for key, value in values.items() if key in cls.model_fields}
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            details = error.errors()
            problems += [_wrong_value(detail) for detail in details]
            wrong = {detail["loc"][0] for detail in details}
            config = cls.model_validate({key: value for key, value in values.items() if key not in wrong})
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
        settings = {name: getattr(self, name) for name in self.names_of(Role.FORECAST)}
        return type(self).from_mapping({**settings, "market": self.market_name})

    @classmethod
    def sentence_of(cls, name: str) -> str:
        """What a setting is, in a sentence for people, without the stop at its end."""
        return " ".join(_docstrings()[name].split()).removesuffix(".")

    @classmethod
    def flags(cls) -> dict[str, Flag]:
        """The settings that the command line offers, and how."""
        fields = cls.model_fields.items()
        return {name: flag for name, field in fields for flag in field.metadata if isinstance(flag, Flag)}

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
            "market": self.market_name,
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
    def market_name(self) -> str:
        """The market by its name: `market`, or that of the symbol."""
        return self.market or default_market((*self.symbols, self.symbol)[0], self.bars_source)

    @property
    def effective_timezone(self) -> str:
        """The time zone of bucket labels: `timezone`, or the market's own."""
        return self.effective_market.zone if self.timezone == DEFAULT_ZONE else self.timezone

    @property
    def effective_market(self) -> "TradingMarket":
        """The market itself."""
        # Help is to be there before pandas is.
        from volcast.markets.registry import market_named

        return market_named(self.market_name, self.bucket)

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
        file_name_of(value)
        return value.upper()

    @field_validator("overnight_symbol")
    @classmethod
    def _known_form_or_none(cls, value: str | None) -> str | None:
        return None if value is None else cls._known_form(value)

    @field_validator("symbols")
    @classmethod
    def _known_forms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cls._known_form(symbol) for symbol in value))

    @field_validator("companions")
    @classmethod
    def _known_companions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(name.lower() in ("auto", "none") for name in value):
            if len(value) > 1:
                raise ValueError("must be names, or 'auto' alone, or 'none' alone")
            return ("auto",) if value[0].lower() == "auto" else ()
        return cls._known_forms(value)

    @field_validator("bars_source")
    @classmethod
    def _known_source(cls, value: str) -> str:
        if value not in ("auto", *BAR_SOURCES) and value not in source_names():
            raise ValueError("must be one of " + ", ".join(map(repr, ("auto", *source_names()))))
        return value

    @field_validator("cleaning")
    @classmethod
    def _known_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value not in ((), ("all",)):
            from volcast.bars.cleaning import CLEANING_RULES

            if not {*value} <= {"all", *CLEANING_RULES}:
                raise ValueError("must be out of " + ", ".join(map(repr, ("all", *CLEANING_RULES))))
        return value

    @field_validator("roll_days")
    @classmethod
    def _known_rolls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1 and "never" in value:
            raise ValueError("must be days, moments and .csv files, or 'never' alone")
        return value

    @field_validator("rv_estimator")
    @classmethod
    def _known_estimator(cls, value: str) -> str:
        if value != cls.model_fields["rv_estimator"].default:
            from volcast.measures.estimators import ESTIMATORS

            if value not in ESTIMATORS:
                raise ValueError("must be one of " + ", ".join(map(repr, ESTIMATORS)))
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
        if value is not None and value not in _time_zones():
            near = difflib.get_close_matches(value, _time_zones(), 1)
            raise ValueError("must be a time zone such as " + (near[0] if near else DEFAULT_ZONE))
        return value

    @field_validator("market")
    @classmethod
    def _known_market(cls, value: str | None) -> str | None:
        if value in (None, DEFAULT_MARKET):
            return value
        from exchange_calendars import get_calendar_names

        from volcast.markets.registry import MARKETS

        if value not in MARKETS and value not in (names := [*MARKETS, *get_calendar_names()]):
            near = difflib.get_close_matches(str(value), names, 1)
            raise ValueError(
                f"must be one of {', '.join(MARKETS)}, or an exchange of exchange_calendars such as "
                f"{near[0] if near else DEFAULT_MARKET}"
            )
        return value


TRAINING_CONFIG: dict[str, Any] = {
    name: str(field.default) if isinstance(field.default, date) else field.default
    for name, field in TrainingConfig.model_fields.items()
}
"""Defaults of every setting, dates as text; `TrainingConfig` describes each."""


@cache
def _docstrings() -> dict[str, str]:
    """The docstring below each field; pydantic would read them, too, but whenever this module is imported."""
    tree = ast.parse(inspect.getsource(TrainingConfig)).body[0]
    docstrings = {}
    for field, below in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            docstrings[field.target.id] = str(ast.literal_eval(below.value))
    return docstrings


@cache
def _time_zones() -> set[str]:
    """Their names, looked up once: that reads a thousand files, and a saved model's settings are checked each time."""
    return available_timezones()


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(str(key)[:60], TrainingConfig.model_fields, 1, 0.5)
    return f"{_SHORTENED.repr(key)} is no setting" + (f", did you mean {near[0]!r}?" if near else "")


def _wrong_value(detail: Any) -> str:
    rule = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{detail['loc'][0]} is {_SHORTENED.repr(detail['input'])}, but {_lower_first(rule)}"


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
    if len(config.symbols) > 1 and config.effective_network != "har_lstm":
        problems.append(
            f"symbols are {len(config.symbols)} and network is {config.effective_network!r}; the rule for a model of "
            "several symbols is 'har_lstm', under the preset 'session'"
        )
    if config.companions and config.symbols:
        problems.append(
            "companions and symbols are given both; symbols are a model of all, companions serve one; take one"
        )
    if config.companions and config.effective_network != "har_lstm":
        problems.append(f"companions are given and network is {config.effective_network!r}; only a 'har_lstm' has them")
    problems += _contradictions_of_nights(config)
    if config.bars_source == "file" and config.bars_path is None:
        problems.append("bars_source is 'file' and bars_path is missing; give the file's path")
    if config.bars_source not in ("auto", "file") and config.bars_path is not None:
        problems.append(f"bars_source is {config.bars_source!r} and bars_path is given too; leave one of them out")
    if config.preset == "colab" and config.rv_estimator != "close":
        problems.append(f"preset is 'colab' and rv_estimator is {config.rv_estimator!r}; the notebook's is 'close'")
    if config.preset == "colab" and config.bucket != "1h":
        problems.append(f"preset is 'colab' and bucket is {config.bucket!r}; the notebook's is an hour")
    if config.preset == "colab" and config.cell != "lstm":
        problems.append(f"preset is 'colab' and cell is {config.cell!r}; the notebook's is 'lstm'")
    if config.preset == "colab" and config.scaling == "diurnal_log":
        problems.append("preset is 'colab' and scaling is 'diurnal_log'; the notebook's preset is 'minmax' only")
    if config.preset == "colab" and config.network not in (None, "roadmap"):
        problems.append(
            f"preset is 'colab' and network is {config.network!r}; the notebook's network is 'roadmap' only"
        )
    return problems


def _contradictions_of_nights(config: TrainingConfig) -> list[str]:
    symbol = config.overnight_symbol
    problems: list[str] = []
    if symbol is None:
        return problems
    if config.effective_network != "har_lstm":
        problems.append(
            f"overnight_symbol is {symbol!r} and network is {config.effective_network!r}; only a 'har_lstm' sees nights"
        )
    if config.nights == "never":
        problems.append(f"overnight_symbol is {symbol!r} and nights is 'never'; leave one of them out")
    if symbol in (config.symbols or (config.symbol,)):
        problems.append(f"overnight_symbol is {symbol!r}, whose own bars tell of its nights; leave it out")
    return problems
