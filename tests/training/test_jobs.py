"""Many symbols: one that fails stops nobody, and nothing is trained twice."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.bars import make_bars
from volcast.bars.symbols import read_symbols
from volcast.config import TrainingConfig
from volcast.errors import ConfigError
from volcast.training.jobs import SymbolOutcome, jobs_as_dict, train_symbols

SYMBOLS = ["AAA", "BBB", "NONE"]


@pytest.fixture(scope="module")
def bars_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    for seed, symbol in enumerate(SYMBOLS[:2]):
        make_bars("2024-06-03", "2024-09-30", seed=seed).to_parquet(folder / f"{symbol}.parquet")
    return folder


def config_of(bars: Path, place: Path, **settings: object) -> TrainingConfig:
    tiny = {"network": "roadmap", "memory": 10, "max_trials": 1, "epochs": 1, "units_range": (16, 16)}
    return TrainingConfig.from_mapping(
        {**tiny, "bars_source": "file", "bars_path": str(bars), "model_save_path": str(place), **settings}
    )


@pytest.fixture(scope="module")
def trained(bars_of_two: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SymbolOutcome]]:
    place = tmp_path_factory.mktemp("models")
    return place, train_symbols(config_of(bars_of_two, place), SYMBOLS, jobs=2)


@pytest.mark.train
def test_each_symbol_gets_a_model_and_a_failing_one_a_sentence(trained: tuple[Path, list[SymbolOutcome]]) -> None:
    place, outcomes = trained
    assert [outcome.symbol for outcome in outcomes] == SYMBOLS
    assert [outcome.status for outcome in outcomes] == ["trained", "trained", "failed"]
    assert "NONE" in outcomes[2].error or "symbol" in outcomes[2].error
    for outcome in outcomes[:2]:
        assert Path(outcome.result["path"]).parent == place / outcome.symbol
        assert outcome.result["symbols"][outcome.symbol]["symbol"] == outcome.symbol
    assert json.loads(json.dumps(jobs_as_dict(outcomes)))["failed"] == 1


@pytest.mark.train
def test_a_second_run_trains_only_what_changed(trained: tuple[Path, list[SymbolOutcome]], bars_of_two: Path) -> None:
    place, first = trained
    told: list[str] = []
    make_bars("2024-06-03", "2024-10-01", seed=1).to_parquet(bars_of_two / "BBB.parquet")
    again = train_symbols(
        config_of(bars_of_two, place), SYMBOLS[:2], on_outcome=lambda outcome: told.append(outcome.symbol)
    )
    assert [outcome.status for outcome in again] == ["kept", "trained"]
    assert told == ["AAA", "BBB"]
    assert again[0].result == first[0].result
    assert again[1].result["symbols"]["BBB"]["last_bar"] > first[1].result["symbols"]["BBB"]["last_bar"]


@pytest.mark.train
@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"workers": 2, "resume": False, "save_config": False, "save_history": False}, "kept"),
        ({"offline": True, "cache_dir": "elsewhere", "chief": "localhost:1", "accept_quality": True}, "kept"),
        ({"end_date": "2024-09-27"}, "trained"),
    ],
)
def test_a_model_is_trained_again_only_for_settings_that_make_it_another(
    trained: tuple[Path, list[SymbolOutcome]],
    bars_of_two: Path,
    tmp_path: Path,
    settings: dict[str, object],
    status: str,
) -> None:
    place = shutil.copytree(trained[0], tmp_path / "models")
    (again,) = train_symbols(config_of(bars_of_two, place, **settings), SYMBOLS[:1])
    assert again.status == status


@pytest.mark.slow
def test_a_ray_cluster_trains_the_same_models(
    trained: tuple[Path, list[SymbolOutcome]], bars_of_two: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
    make_bars("2024-06-03", "2024-09-30", seed=1).to_parquet(bars_of_two / "BBB.parquet")
    _, first = trained
    found = train_symbols(config_of(bars_of_two, tmp_path), SYMBOLS[:2], ray_address="local")
    for ours, theirs in zip(found, first, strict=False):
        assert ours.result["evaluation"] == theirs.result["evaluation"], ours.error


def test_a_file_of_symbols(tmp_path: Path) -> None:
    file = tmp_path / "symbols.txt"
    file.write_text("spy, qqq  # funds\n\nTSLA\nSPY\n")
    assert read_symbols(file) == ["SPY", "QQQ", "TSLA"]
    file.write_text("# none\n")
    with pytest.raises(ConfigError, match="names no symbol"):
        read_symbols(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_symbols(tmp_path / "missing.txt")
