"""What may stand in a model's manifest and recipe: types, ranges, and numbers that fit each other.

A hash says that a file is the one that was written; this says that what was written is a model. Whatever passes can be
forecast with, and whatever does not is named by its field.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from volcast.counts import counted
from volcast.features.fed_decisions import decision_dummies
from volcast.features.intraday import STATES, term_count
from volcast.features.known_days import KnownDays
from volcast.features.windows import HAR_LAGS
from volcast.forecasters.har_lstm.state import is_number
from volcast.forecasters.horizons import HORIZONS, TOTAL_HORIZONS
from volcast.forecasters.total.terms import TERMS
from volcast.markets.market import BUCKETS
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.measures.bucketed import STEPS
from volcast.measures.nights import NIGHT_PARTS

__all__ = ["ManifestSchema", "RecipeSchema", "SchemaError", "checked_manifest", "checked_recipe", "checked_totals"]

_HOURS = 24
_MOST_SLOTS = _HOURS * 60 // min(BUCKETS.values())
_EARLIEST, _LATEST = 1990, 2200
_LARGEST_LOG_VOLATILITY = 10
_SHOWN = 40
_VERSION = re.compile(r"(?P<simulated>SIMULATED-)?(?P<symbol>[A-Z0-9]+)-\d{8}-\d{6}-\d{3}")
_PLAIN_SYMBOL = re.compile(r"[A-Z0-9]+")

Schema = TypeVar("Schema", bound=BaseModel)


class SchemaError(ValueError):
    """A field is not as the schema has it; the text names the field, what it holds, and the rule."""


def _moment(value: Any) -> str:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    if moment is None or moment.tzinfo is None or not _EARLIEST <= moment.year <= _LATEST:
        raise ValueError(f"a moment of the years {_EARLIEST} to {_LATEST} in ISO 8601, with its zone")
    return str(value)


def _slots(info: ValidationInfo) -> int:
    """How many buckets a day of the model's has; where nothing is said, as many as hours."""
    return int((info.context or {}).get("slots", _HOURS))


def _a_day(value: list[Any], info: ValidationInfo) -> list[Any]:
    """As many as a day has buckets."""
    if len(value) != _slots(info):
        raise ValueError(f"a list of {_slots(info)} items")
    return value


def _of_a_day(value: int | str, info: ValidationInfo) -> int | str:
    """A number of a bucket in a day."""
    if int(value) >= _slots(info):
        raise ValueError(f"less than {_slots(info)}")
    return value


def _whole_profile(value: list[list[float]]) -> list[list[float]]:
    """Logs of volatility, and behind them those of the steps' ranges and volumes, which may be larger."""
    if len({len(row) for row in value}) > 1:
        raise ValueError("as many means in each hour")
    if max(max(row[: len(STATES)]) for row in value) > _LARGEST_LOG_VOLATILITY:
        raise ValueError(f"logs of volatility of at most {_LARGEST_LOG_VOLATILITY}")
    return value


Moment = Annotated[str, BeforeValidator(_moment)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Spread = Annotated[float, Field(gt=0, le=1e3)]
LogVolatility = Annotated[float, Field(ge=-40, le=_LARGEST_LOG_VOLATILITY)]
Standardized = Annotated[float, Field(ge=-1e3, le=1e3)]
HourProfile = Annotated[list[LogVolatility], AfterValidator(_a_day)]
StateProfile = Annotated[
    list[Annotated[list[Annotated[float, Field(ge=-40, le=50)]], Field(min_length=len(STATES))]],
    AfterValidator(_a_day),
    AfterValidator(_whole_profile),
]
Slot = Annotated[int, Field(ge=0), AfterValidator(_of_a_day)]
HourSpreads = Annotated[list[Spread], AfterValidator(_a_day)]


class _Schema(BaseModel):
    # Built at the first load: an import has no use for it.
    model_config = ConfigDict(strict=True, allow_inf_nan=False, defer_build=True)


class _ListedFile(_Schema):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class _ModelFigures(_Schema):
    qlike_ratio: float | None = None


class _Metrics(_Schema):
    model: _ModelFigures = _ModelFigures()


class _Evaluation(_Schema):
    metrics: _Metrics = _Metrics()


class _AboutSymbol(_Schema):
    last_bar: Moment | None = None
    trained_on: bool = True


class ManifestSchema(_Schema):
    """The fields of a manifest that something is decided by; others are for people."""

    schema_version: int
    name: str
    created: Moment
    files: Annotated[dict[str, _ListedFile], Field(min_length=1, max_length=200)]
    packages: dict[str, str] = Field(default_factory=dict)
    symbol: str | None = None
    simulated: bool = False
    symbols: dict[str, _AboutSymbol] = Field(default_factory=dict)
    trained_through: Moment | None = None
    last_bar: Moment | None = None
    interval_factors: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    evaluation: _Evaluation | None = None

    @model_validator(mode="after")
    def _named_after_its_symbol(self) -> Self:
        version = _VERSION.fullmatch(self.name)
        if version is None or self.symbol is None or _PLAIN_SYMBOL.fullmatch(self.symbol) is None:
            return self
        if version["symbol"] != self.symbol or bool(version["simulated"]) != self.simulated:
            raise ValueError(f"the symbol and the kind of bars that are in the name {self.name}")
        return self


class _RangeScaler(_Schema):
    kind: Literal["minmax"]
    data_min: Annotated[float, Field(ge=0, le=1e3)]
    data_max: Annotated[float, Field(ge=0, le=1e3)]
    n_samples_seen: Annotated[int, Field(ge=0)]

    @field_validator("data_max")
    @classmethod
    def _above(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("data_min", 0.0):
            raise ValueError("not below data_min")
        return value


class _DiurnalLogScaler(_Schema):
    kind: Literal["diurnal_log"]
    profile: Annotated[
        dict[Annotated[str, Field(pattern=r"^(\d|[1-9]\d\d?)$"), AfterValidator(_of_a_day)], LogVolatility],
        Field(min_length=1, max_length=_MOST_SLOTS),
    ]
    spread: Spread
    smearing: Spread


_Scaler = Annotated[_RangeScaler | _DiurnalLogScaler, Field(discriminator="kind")]


class _ScaledWindows(_Schema):
    kind: Literal["scaled_windows"]
    memory: Annotated[int, Field(ge=2, le=10_000)]
    scaler: _Scaler
    bounds: Annotated[list[Annotated[float, Field(ge=0, le=1e9)]], Field(min_length=2, max_length=2)] | None = None

    @field_validator("bounds")
    @classmethod
    def _in_order(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the lower bound, then the upper")
        return value

    @property
    def window_shape(self) -> tuple[int, int]:
        """Buckets and values of each that a network takes."""
        return self.memory, 1


class _Tracker(_Schema):
    hour_spread: HourSpreads
    spread: Annotated[float, Field(ge=0, le=1e3)]
    lower: Annotated[float, Field(ge=-100, le=100)]
    upper: Annotated[float, Field(ge=-100, le=100)]
    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    count: Annotated[int, Field(ge=1)] | None = None

    @field_validator("upper")
    @classmethod
    def _above(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("lower", value):
            raise ValueError("not below lower")
        return value


class _Regression(_Schema):
    gram: list[list[float]]
    moment: list[float]
    count: Positive
    smearing_sum: Positive
    penalty: list[Annotated[float, Field(ge=0, le=1e9)]]

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        width = len(self.moment)
        if len(self.gram) != width or {len(row) for row in self.gram} != {width} or len(self.penalty) != width:
            raise ValueError("gram, moment and penalty of one width")
        gram = np.array(self.gram)
        if not np.allclose(gram, gram.T, rtol=1e-9, atol=1e-9):
            raise ValueError("a gram that is symmetric")
        try:
            np.linalg.cholesky(gram + np.diag(self.penalty))
        except np.linalg.LinAlgError:
            raise ValueError("a gram that is positive definite with its penalty") from None
        return self


class _Horizon(_Schema):
    profile: HourProfile
    regression: _Regression
    tracker: _Tracker


class _KnownDay(_Schema):
    moment: Annotated[int, Field(ge=0, le=2**53)]
    kind: str
    symbol: str


class _KnownDays(_Schema):
    kinds: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default_factory=list, max_length=100)
    own_days: list[_KnownDay] = Field(default_factory=list, max_length=1_000_000)
    market: str = DEFAULT_MARKET

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("kinds of days, each once")
        return value


class _Features(_Schema):
    profile: StateProfile
    hours: Annotated[
        list[Annotated[int, Field(ge=0), AfterValidator(_of_a_day)]], Field(min_length=1, max_length=_MOST_SLOTS)
    ]
    with_market: bool
    with_decisions: bool = False
    state_mean: list[Standardized]
    state_spread: list[Spread]
    term_mean: list[Standardized]
    term_spread: list[Spread]
    step_inputs: list[Literal["range", "return", "volume", "market_range"]] = Field(default_factory=list, max_length=4)
    lags: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=3, max_length=4)] = list(HAR_LAGS)
    with_nights: bool = False
    with_falls: bool = False
    known_days: _KnownDays = Field(default_factory=lambda: _KnownDays())

    @field_validator("lags")
    @classmethod
    def _from_one(cls, value: list[int]) -> list[int]:
        if sorted(value) != value or value[0] != 1:
            raise ValueError("lags in rising order, from 1")
        return value

    @field_validator("hours")
    @classmethod
    def _rising(cls, value: list[int]) -> list[int]:
        if sorted(set(value)) != value:
            raise ValueError("hours in rising order, each once")
        return value

    @model_validator(mode="after")
    def _of_the_states(self) -> Self:
        lags, states = tuple(self.lags), self.state_count
        terms = term_count(lags, with_market=self.with_market, with_falls=self.with_falls) + self.night_count
        for name, count in (
            ("state_mean", states),
            ("state_spread", states),
            ("term_mean", terms),
            ("term_spread", terms),
        ):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{counted(count, 'value')} in {name}, and it has {len(getattr(self, name))}")
        return self

    @model_validator(mode="after")
    def _of_the_steps(self) -> Self:
        width = self.profile_width
        if len(self.profile[0]) != width:
            raise ValueError(f"{width} means an hour, and it has {len(self.profile[0])}")
        return self

    @property
    def profile_width(self) -> int:
        """Means of an hour: of the states, of the steps where networks see these, and of the night's parts."""
        return len(STATES) + (2 * STEPS if self.step_inputs else 0) + self.night_count

    @property
    def night_count(self) -> int:
        """Parts of the night that the regression sees."""
        return len(NIGHT_PARTS) if self.with_nights else 0

    @property
    def state_count(self) -> int:
        """States of a bucket: the symbol's own, and the market's where the model has one; with changes of the price."""
        return (len(STATES) + self.with_falls) * (2 if self.with_market else 1)

    @property
    def design_width(self) -> int:
        """Columns of the regression."""
        none = np.empty(0, dtype=np.int64)
        decisions = decision_dummies(none).shape[1] if self.with_decisions else 0
        days = KnownDays(tuple(self.known_days.kinds)).column_count
        return len(self.term_mean) + days + len(self.hours) + decisions


class _SymbolHorizon(_Schema):
    profile: HourProfile
    count: Positive
    smearing_sum: Positive
    tracker: _Tracker
    of_symbol: _Regression | None = None


class _SymbolState(_Schema):
    profile: StateProfile
    horizons: dict[str, _SymbolHorizon]


class _NetworkWeight(_Schema):
    best: Annotated[float, Field(ge=0, le=3)]
    curvature: Annotated[float, Field(gt=0, le=1e12)]
    slope_squares: Annotated[float, Field(ge=0, le=1e24)]


class _HarLstm(_Schema):
    kind: Literal["har_lstm"]
    features: _Features
    horizons: Annotated[dict[str, _Horizon], Field(min_length=1)]
    window: Annotated[int, Field(ge=1, le=10_000)]
    correction_spread: Spread
    weight: Annotated[float, Field(ge=0, le=1)]
    # What later days move the weight by; earlier releases' stays as it is.
    weight_record: _NetworkWeight | None = None
    smearing_shift: Annotated[float, Field(ge=-10, le=10)]
    trained_through: Moment
    # Earlier releases have none where there is one symbol, and those of many in `_Pooled`.
    symbols: dict[str, _SymbolState] = Field(default_factory=dict)

    @field_validator("horizons")
    @classmethod
    def _of_this_release(cls, value: dict[str, _Horizon]) -> dict[str, _Horizon]:
        names = [str(horizon) for horizon in HORIZONS]
        if "1" not in value or not all(name in names or is_number(name) for name in value):
            raise ValueError(f"1 and any of {', '.join(names[1:])}, or another number of buckets")
        return value

    @model_validator(mode="after")
    def _of_the_same_horizons(self) -> Self:
        for name, state in self.symbols.items():
            if state.horizons.keys() != self.horizons.keys():
                raise ValueError(f"the same horizons for each symbol, and {name} has {', '.join(state.horizons)}")
            if len(state.profile[0]) != self.features.profile_width:
                raise ValueError(f"{self.features.profile_width} means an hour of {name}, as the features have")
            widths = {
                len(horizon.of_symbol.moment) for horizon in state.horizons.values() if horizon.of_symbol is not None
            }
            if widths - {self.features.design_width}:
                raise ValueError(
                    f"own regressions of the features' {self.features.design_width} columns, and not {name}'s"
                )
        return self

    @model_validator(mode="after")
    def _of_one_width(self) -> Self:
        width = self.features.design_width
        for name, horizon in self.horizons.items():
            if len(horizon.regression.moment) != width:
                raise ValueError(
                    f"a regression of the features' {width} columns, and that of the horizon {name} has "
                    f"{len(horizon.regression.moment)}"
                )
        return self

    @property
    def window_shape(self) -> tuple[int, int]:
        """Steps, or buckets, and values of each that a network takes: these, and when the next bucket is."""
        inputs = self.features.step_inputs
        return (STEPS, len(inputs) + 3) if inputs else (self.window, self.features.state_count + 3)


class _Symbol(_Schema):
    profile: StateProfile
    count: Positive
    smearing_sum: Positive
    tracker: _Tracker


class _Pooled(_Schema):
    kind: Literal["pooled_har_lstm"]
    shared: _HarLstm
    symbols: Annotated[dict[str, _Symbol], Field(min_length=1)]

    @property
    def window_shape(self) -> tuple[int, int]:
        """Buckets and values of each that a network takes."""
        return self.shared.window_shape


class _PastLevel(_Schema):
    variance: Annotated[float, Field(ge=0, le=1e9)]
    count: Positive
    last_close: Annotated[int, Field(ge=0)]


class _TotalHorizon(_Schema):
    regression: _Regression
    tracker: _Tracker
    ratio_sum: Positive
    ratio_count: Positive


class _TotalState(_Schema):
    horizons: dict[str, _TotalHorizon]
    past: _PastLevel

    @field_validator("horizons")
    @classmethod
    def _of_this_release(cls, value: dict[str, _TotalHorizon]) -> dict[str, _TotalHorizon]:
        if set(value) != set(TOTAL_HORIZONS):
            raise ValueError(f"the horizons {', '.join(TOTAL_HORIZONS)}")
        for name, horizon in value.items():
            if len(horizon.regression.moment) != len(TERMS):
                raise ValueError(f"regressions of {len(TERMS)} terms, and that over {name} has another number")
        return value


class TotalsSchema(_Schema):
    """What a model remembers of total volatility, by symbol."""

    totals: dict[str, _TotalState]


class RecipeSchema(_Schema):
    """A recipe of any kind."""

    recipe: Annotated[_ScaledWindows | _HarLstm | _Pooled, Field(discriminator="kind")]

    @property
    def window_shape(self) -> tuple[int, int]:
        """Buckets and values of each that a network takes."""
        return self.recipe.window_shape

    @property
    def needs_networks(self) -> bool:
        """Whether nothing can be forecast without networks: not where a regression serves alone."""
        return not isinstance(self.recipe, _HarLstm) or self.recipe.weight > 0

    @property
    def trained_through(self) -> pd.Timestamp | None:
        """Last bucket (market time) in the recipe's sums; None where it has none."""
        states = self.recipe.shared if isinstance(self.recipe, _Pooled) else self.recipe
        if isinstance(states, _ScaledWindows):
            return None
        return pd.Timestamp(states.trained_through).tz_convert(DEFAULT_ZONE)


def checked_manifest(content: Any) -> ManifestSchema:
    """The parsed manifest `content`, held to its schema; raises `SchemaError`."""
    return _checked(ManifestSchema, content)


def checked_recipe(content: Any, slots: int) -> RecipeSchema:
    """The parsed recipe `content`, of days of so many buckets, held to its schema; raises `SchemaError`."""
    return _checked(RecipeSchema, {"recipe": content}, {"slots": slots})


def checked_totals(content: Any) -> TotalsSchema:
    """The parsed numbers of total volatility in `content`, held to their schema; raises `SchemaError`."""
    return _checked(TotalsSchema, {"totals": content})


def _checked(schema: type[Schema], content: Any, context: dict[str, int] | None = None) -> Schema:
    try:
        return schema.model_validate(content, context=context)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = _place(first["loc"], content)
        if first["type"] == "missing":
            raise SchemaError(f"no {place}") from None
        if first["type"] == "union_tag_invalid":
            raise SchemaError(f"{place} of no kind; the rule is: one of {first['ctx']['expected_tags']}") from None
        rule = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise SchemaError(f"{place} = {_shown(first['input'])}; the rule is: {rule[:1].lower()}{rule[1:]}") from None


def _place(parts: Sequence[int | str], content: Any) -> str:
    """The field's place in its file, without what the schema adds to it: which of several kinds it took."""
    steps = []
    for part in parts:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if part != parts[-1]:
                continue
        steps.append(str(part))
    return ".".join(steps).removeprefix("recipe.").removeprefix("totals.")


def _shown(value: Any) -> str:
    # Of a large thing its kind: nobody reads a matrix in a sentence.
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
