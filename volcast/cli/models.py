"""The command ``volcast models``: look at, check and choose among trained models."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volcast.cli.command import command_parser, plain_table, run_command, subcommands, tell
from volcast.cli.options import add_setting, settings_given
from volcast.config_sources import resolve_config

if TYPE_CHECKING:
    from rich.console import Console

    from volcast.store.store import ModelStore

__all__ = ["main"]

_EPILOG = """\
exit status: 0 done, 1 failed (verify: something is wrong), 2 wrong use, 130 or 143 interrupted

examples:
  volcast models ls
  volcast models show SPY-20241201-101500-123
  volcast models promote SPY-20241201-101500-123 --reason "better in March"
  volcast models rollback
  volcast models prune --keep 5
  volcast models verify --json
  volcast models import-colab volatility_lstm_model.h5
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast models") -> int:
    """Do to the store as the `arguments` say (None: those of the process); returns the exit status."""
    return run_command(_parser(prog), _work, arguments, interrupted="Interrupted; the store is whole.")


def _work(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    return _COMMANDS[options.command](options, out)


def _store(options: argparse.Namespace) -> "ModelStore":
    from volcast.store.store import ModelStore

    return ModelStore(resolve_config(None, os.environ, settings_given(options)).config.model_save_path)


def _ls(options: argparse.Namespace, out: "Console") -> int:
    from volcast.evaluation.report.tables import model_row, models_table

    store = _store(options)
    serving = store.serving()
    manifests = store.list()
    nothing = f"No model in {store.path} yet; python local_training.py trains one."
    rows = [model_row(manifest, serving) for manifest in manifests]
    tell(options, out, rows, models_table(rows) if rows else nothing)
    return 0


def _show(options: argparse.Namespace, out: "Console") -> int:
    store = _store(options)
    manifest = store.verify(options.model)
    history = [asdict(entry) for entry in store.history() if entry.name == manifest["name"]]
    shown = {**manifest, "serving": store.serving() == manifest["name"], "history": history}
    lines = [(key, _short(value)) for key, value in shown.items() if key not in ("files", "packages", "history")]
    lines += [("file", f"{name}, {entry['bytes']:,} bytes") for name, entry in manifest["files"].items()]
    lines += [("history", f"{entry['since'][:16]} {entry['event']}: {entry['reason']}") for entry in history]
    tell(options, out, shown, plain_table([{"": key, manifest["name"]: value} for key, value in lines]))
    return 0


def _history(options: argparse.Namespace, out: "Console") -> int:
    entries = [asdict(entry) for entry in _store(options).history()]
    rows = [
        {
            "since (UTC)": entry["since"][:19],
            "simulated time": entry["asof"] or "",
            "event": entry["event"],
            "model": entry["name"],
            "why": entry["reason"],
        }
        for entry in entries
    ]
    tell(options, out, entries, plain_table(rows) if rows else "Nothing was decided in this store yet.")
    return 0


def _promote(options: argparse.Namespace, out: "Console") -> int:
    store = _store(options)
    before = store.serving()
    store.promote(options.model, options.reason)
    said = f"{options.model} serves from now on" + (f", in place of {before}." if before != options.model else ".")
    tell(options, out, {"serving": options.model, "before": before}, said)
    return 0


def _rollback(options: argparse.Namespace, out: "Console") -> int:
    store = _store(options)
    before = store.serving()
    serving = store.rollback(options.reason)
    tell(options, out, {"serving": serving, "before": before}, f"{serving} serves again, in place of {before}.")
    return 0


def _prune(options: argparse.Namespace, out: "Console") -> int:
    deleted = _store(options).prune(options.keep)
    said = f"Deleted {len(deleted)}: {', '.join(deleted)}." if deleted else "There was nothing to delete."
    tell(options, out, {"deleted": deleted}, said)
    return 0


def _verify(options: argparse.Namespace, out: "Console") -> int:
    problems = _store(options).verify_all()
    if options.model is not None:
        problems = {options.model: problems.get(options.model, f"there is no model {options.model} in the store.")}
    rows = [{"model": name, "state": problem or "as it was saved"} for name, problem in problems.items()]
    tell(options, out, problems, plain_table(rows) if rows else "There is no model to verify.")
    return int(any(problem is not None for problem in problems.values()))


def _export(options: argparse.Namespace, out: "Console") -> int:
    paths = [str(path) for path in _store(options).export_colab(options.model, options.directory)]
    tell(options, out, {"network": paths[0], "scaler": paths[1]}, f"Written: {paths[0]} and {paths[1]}")
    return 0


def _import_colab(options: argparse.Namespace, out: "Console") -> int:
    bundle = _store(options).import_colab(options.h5, options.scaler, options.name)
    said = f"Saved as {bundle.name}; let it serve with: volcast models promote {bundle.name}"
    tell(options, out, {"name": bundle.name, "path": str(bundle.path)}, said)
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace, "Console"], int]] = {
    "ls": _ls,
    "show": _show,
    "history": _history,
    "promote": _promote,
    "rollback": _rollback,
    "prune": _prune,
    "verify": _verify,
    "export": _export,
    "import-colab": _import_colab,
}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _add_shared(parser: argparse.ArgumentParser) -> None:
    add_setting(parser, "model_save_path", "--store")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command_parser(prog, "Look at, check and choose among trained models.", _EPILOG)
    command = subcommands(parser, _add_shared)
    command("ls", "all models, the newest first; * marks the one that serves")
    command("show", "one model, verified").add_argument("model")
    command("history", "who served since when and why")
    promote = command("promote", "let a model serve")
    promote.add_argument("model")
    promote.add_argument("--reason", default="promoted by hand", help="why, for the history")
    rollback = command("rollback", "let the model that served before serve again")
    rollback.add_argument("--reason", default="rolled back by hand", help="why, for the history")
    prune = command("prune", "delete old models; those that serve or served last stay")
    prune.add_argument("--keep", type=int, required=True, metavar="N", help="how many of the newest stay")
    command("verify", "hold every file to its hash").add_argument("model", nargs="?")
    export = command("export", "write a model of the colab preset as the notebook's pair of files")
    export.add_argument("model")
    export.add_argument("directory")
    colab = command("import-colab", "save the notebook's pair of files as a model")
    # No name of a setting, which it would be taken for.
    colab.add_argument("h5", metavar="network", help="the .h5; the .pkl is looked for beside it")
    colab.add_argument("--scaler", metavar="FILE", help="the .pkl")
    colab.add_argument("--name", help="what to call the model")
    return parser
