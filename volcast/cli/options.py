"""Settings as options: flag, sentence and default are those of the field, and the value goes under its name."""

import argparse
from typing import Any

from volcast.config import TRAINING_CONFIG, TrainingConfig

__all__ = ["add_bars_options", "add_setting", "add_settings", "settings_given"]

Group = argparse._ActionsContainer


def add_setting(group: Group, name: str, flag: str | None = None, **keywords: Any) -> None:
    """Offer a setting as an option; `flag` is another name for it, `keywords` are argparse's."""
    field = TrainingConfig.flags()[name]
    keywords |= {"action": "store_true", "default": None} if field.value is None else {"metavar": field.value}
    group.add_argument(flag or field.name, dest=name, help=_help_of(name), **keywords)


def add_settings(group: Group, *names: str) -> None:
    """Offer several settings as options, in this order."""
    for name in names:
        add_setting(group, name)


def add_bars_options(group: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Offer the options that say where bars come from and how they are read."""
    source = group.add_mutually_exclusive_group()
    add_setting(source, "bars_path")
    source.add_argument(
        "--simulate",
        dest="bars_source",
        action="store_const",
        const="simulator",
        help="simulated bars: needs no keys and no file",
    )
    add_setting(source, "bars_source")
    add_settings(
        group,
        "market",
        "bucket",
        "bars_timezone",
        "bars_stamps",
        "bars_epoch",
        "bars_dates",
        "feed",
        "adjustment",
        "offline",
    )
    add_setting(group, "cleaning", nargs="?", const="all")
    add_setting(group, "roll_days")


def settings_given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, by their names."""
    settings = {
        name: value
        for name, value in vars(options).items()
        if name in TrainingConfig.model_fields and value is not None
    }
    return {"bars_source": "file", **settings} if "bars_path" in settings else settings


def _help_of(name: str) -> str:
    sentence, default = TrainingConfig.sentence_of(name), TRAINING_CONFIG[name]
    shown = "" if default is None or isinstance(default, bool | tuple) else f" (default: {default})"
    return f"{sentence[:1].lower()}{sentence[1:]}{shown}".replace("``", "").replace("%", "%%")
