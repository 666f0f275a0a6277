"""Where settings come from: four layers, four kinds of file."""

from pathlib import Path

import pytest
from rich.console import Console

from volcast.config_sources import load_config_file, resolve_config
from volcast.errors import ConfigError

EXPECTED = {
    "symbol": "SPY",
    "units_range": (16, 32),
    "learning_rate_range": (0.002, 0.01),
    "max_trials": 3,
    "save_history": False,
}
FILES = {
    "settings.py": (
        "low = 2e-3\n"
        "TRAINING_CONFIG = {'symbol': 'SPY', 'units_range': (16, 32), 'learning_rate_range': (low, 1e-2),\n"
        "    'max_trials': 3, 'save_history': False}\n"
    ),
    "settings.json": (
        '{"symbol": "SPY", "units_range": [16, 32], "learning_rate_range": [2e-3, 1e-2], "max_trials": 3,'
        ' "save_history": false}'
    ),
    "settings.toml": (
        "symbol = 'SPY'\nunits_range = [16, 32]\nlearning_rate_range = [2e-3, 1e-2]\nmax_trials = 3\n"
        "save_history = false\n"
    ),
    "settings.yaml": (
        "symbol: SPY\nunits_range: [16, 32]\nlearning_rate_range: [2e-3, 1e-2]\nmax_trials: 3\nsave_history: no\n"
    ),
    "settings.yml": (
        "symbol: SPY\nunits_range:\n- 16\n- 32\nlearning_rate_range: [0.002, 0.01]\nmax_trials: 3\n"
        "save_history: false\n"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_gives_the_same_settings(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    resolved = resolve_config(tmp_path / name)
    assert {key: getattr(resolved.config, key) for key in EXPECTED} == EXPECTED
    assert {key for key, origin in resolved.origin.items() if origin != "default"} == set(EXPECTED)
    assert resolved.config.memory == 60


def test_a_day_may_be_written_as_the_file_writes_days(tmp_path: Path) -> None:
    for name, text in (("a.toml", "start_date = 2024-01-02\n"), ("a.yaml", "start_date: 2024-01-02\n")):
        (tmp_path / name).write_text(text)
        assert resolve_config(tmp_path / name).config.start_date.isoformat() == "2024-01-02"


def test_later_layers_win_and_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("epochs = 7\nmax_trials = 7\nbatch_size = 7\n")
    environ = {"VOLATILITY_MAX_TRIALS": "8", "VOLATILITY_BATCH_SIZE": "8", "HOME": "/nowhere"}
    resolved = resolve_config(file, environ, {"batch_size": 9})
    config, origin = resolved.config, resolved.origin
    assert (config.epochs, config.max_trials, config.batch_size, config.memory) == (7, 8, 9, 60)
    assert [origin[key] for key in ("epochs", "max_trials", "batch_size", "memory")] == [
        f"file {file}", "environment", "command line", "default",
    ]  # fmt: skip


def test_the_environment_may_hold_ranges_switches_and_nothing() -> None:
    environ = {
        "VOLATILITY_UNITS_RANGE": "16,32",
        "VOLATILITY_DROPOUT_RANGE": "0, 0.1",
        "VOLATILITY_SAVE_CONFIG": "false",
        "VOLATILITY_SCALING": "",
        "VOLATILITY_SHARED_DATA": "/where/tests/find/bars",
    }
    config = resolve_config(environ=environ).config
    assert (config.units_range, config.dropout_range) == ((16, 32), (0.0, 0.1))
    assert (config.save_config, config.scaling) == (False, None)


def test_an_unknown_name_in_the_environment_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"VOLATILITY_MAX_TRAILS is no setting, did you mean VOLATILITY_MAX_TRIALS\?"):
        resolve_config(environ={"VOLATILITY_MAX_TRAILS": "3"})
    with pytest.raises(ConfigError, match="VOLATILITY_XYZZY is no setting; unset it"):
        resolve_config(environ={"VOLATILITY_XYZZY": "3"})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.py", "TRAINING_CONFIG = {'symbol' 'SPY'::}\n", r"a\.py has a syntax error: .*line 1"),
        ("a.py", "TRAINING_CONFIG = {'symbol': ticker}\n", "cannot be read .*'ticker' is not defined"),
        ("a.py", "CONFIG = {}\n", "defines no TRAINING_CONFIG"),
        ("a.py", "TRAINING_CONFIG = ['symbol']\n", "holds a list"),
        ("a.py", "import sys\nsys.exit('too early')\n", "too early"),
        ("a.json", '{"symbol": "SPY",}', "syntax error: .*line 1"),
        ("a.json", '"SPY"', "holds a str"),
        ("a.toml", "symbol = SPY\n", "syntax error: .*line 1"),
        ("a.yaml", "symbol: [SPY\n", "syntax error: .*line"),
        ("a.yaml", "", "holds no settings"),
        ("a.toml", b"symbol = '\xff'\n", "syntax error"),
        ("a.ini", "[settings]\n", "must end in one of .py, .json, .toml, .yaml, .yml"),
        ("a.json", '{"max_trails": 3}', "'max_trails' is no setting, did you mean 'max_trials'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=said) as caught:
        resolve_config(tmp_path / name)
    assert "\n" not in str(caught.value)


def unfolding(levels: int, first: str, body: str) -> str:
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        references = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {body.format(references)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [unfolding(30, "[1]", "[{}]"), unfolding(12, "{x: 1}", "{{<<: [{}]}}"), "a: &a [*a]", "a: &a {b: *a}"],
)
def test_yaml_that_unfolds_without_end_is_refused_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bomb\.yaml unfolds to over 10,000 values"):
        load_config_file(tmp_path / "bomb.yaml")


def test_yaml_with_an_anchor_is_read(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("units_range: &pair [2, 3]\nn_layers_range: *pair\n")
    assert load_config_file(tmp_path / "two.yaml") == {"units_range": [2, 3], "n_layers_range": [2, 3]}


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration file"):
        load_config_file(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config_file(tmp_path / "folder.toml")


def test_an_empty_file_of_settings_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("# nothing changed\n")
    assert resolve_config(tmp_path / "none.toml").config == resolve_config().config


def test_the_table_shows_every_setting_once() -> None:
    resolved = resolve_config(overrides={"epochs": 3})
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(resolved.render())
    rows = [line.split() for line in captured.get().splitlines()[1:]]
    assert [row[0] for row in rows] == list(resolved.config.as_dict())
    assert ["epochs", "3", "command", "line"] in rows
