"""The pictures of docs/gallery.md, drawn anew from simulated bars by what users draw them with.

``make docs`` runs it before the site is built; git ignores what it writes.
"""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt

from volcast import DataHandler, LocalLSTMTrainer, VolatilityForecaster, get_hourly_rv
from volcast.backtest.engine import run_backtest
from volcast.backtest.figures import PICTURES
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.joins import positions_for
from volcast.backtest.market import Market
from volcast.backtest.page import save_page
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.cli.main import main as volcast
from volcast.evaluation.figures import drawable
from volcast.pictures import figure_of
from volcast.serving.figures import plot_forecasts

_FOLDER = Path(__file__).parents[1] / "docs" / "gallery"


def save(name: str, plot: Callable[..., object]) -> None:
    """What ``plot(ax=...)`` draws, as a picture of its own."""
    figure, axes = figure_of(5.5, 3.6)
    plot(ax=axes)
    figure.savefig(_FOLDER / f"{name}.svg", metadata={"Date": None})


def draw_evaluation() -> None:
    """Train a model on simulated bars; its page and the page's figures."""
    with tempfile.TemporaryDirectory() as store:
        span = {"symbol": "SPY", "start_date": "2024-01-02", "end_date": "2025-06-30"}
        trainer = LocalLSTMTrainer({**span, "bars_source": "simulator", "model_save_path": store})
        result = trainer.run_training_pipeline()
        shutil.copy(Path(store, result.bundle.name, "evaluation.html"), _FOLDER)
    for picture in drawable(result.evaluation):
        save(f"evaluation-{picture}", partial(result.evaluation.plot, picture))


def draw_forecasts() -> None:
    """Two weeks of forecasts over what came."""
    bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-06-30")
    forecasts = VolatilityForecaster("ewma").forecast_series(bars)
    save("forecasts", partial(plot_forecasts, forecasts[-70:], get_hourly_rv(bars)))


def draw_backtest() -> None:
    """The report of a volatility target by the HAR's forecasts."""
    bars = DataHandler("simulator").get_stock_bars("SPY", "2024-01-02", "2025-12-31")
    market = Market.of(bars, baseline_forecasts("har", bars))
    backtest = run_backtest(VolatilityTarget(0.15), market, twin_forecasts=baseline_forecasts("ewma", bars))
    save_page(backtest, _FOLDER / "backtest.html")
    for picture in PICTURES:
        save(f"backtest-{picture}", partial(backtest.plot, picture))


def draw_position() -> None:
    """What the examples hold over each bar."""
    bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
    forecasts = VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")
    decided = (0.15 / forecasts.set_index("asof")["annualized_volatility"]).clip(upper=1.0)
    positions_for(decided, bars).plot(figsize=(8, 3), ylabel="share of the capital", xlabel="")
    plt.savefig(_FOLDER / "position.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close()


def draw_quality() -> None:
    """The sheet of sessions of simulated bars."""
    picture = str(_FOLDER / "quality.png")
    volcast(["bars", "quality", "--source", "simulator", "--symbol", "SPY", *_QUALITY_SPAN, "--picture", picture])


_QUALITY_SPAN = ("--start-date", "2025-01-02", "--end-date", "2025-06-30")

if __name__ == "__main__":
    plt.switch_backend("Agg")
    _FOLDER.mkdir(exist_ok=True)
    for draw in (draw_forecasts, draw_evaluation, draw_backtest, draw_position, draw_quality):
        draw()
