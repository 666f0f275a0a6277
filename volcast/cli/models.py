"""The command ``volcast models``: look at, check and choose among trained models."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volcast.errors import ConfigError, VolatilityError

if TYPE_CHECKING:
    from rich.table import Table

    from volcast.store.store import ModelStore

__all__ = ["main"]

_WIDEST = 1000

_EPILOG = """\
exit status: 0 done, 1 failed (verify: something is wrong), 2 wrong use

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
    options = _parser(prog).parse_args(arguments)
    # Only now: pandas and pydantic would make --help slow.
    from rich.console import Console

    try:
        return _COMMANDS[options.command](options)
    except VolatilityError as error:
        status = 2 if isinstance(error, ConfigError) else 1
        if options.json:
            print(json.dumps({"error": str(error), "exit_status": status}))
        Console(stderr=True, soft_wrap=True).print(str(error), highlight=False, markup=False)
        return status


def _store(options: argparse.Namespace) -> "ModelStore":
    from volcast.config_sources import resolve_config
    from volcast.store.store import ModelStore

    overrides = {} if options.store is None else {"model_save_path": options.store}
    return ModelStore(resolve_config(None, os.environ, overrides).config.model_save_path)


def _ls(options: argparse.Namespace) -> int:
    store = _store(options)
    serving = store.serving()
    models = [_summary(manifest, serving) for manifest in store.list()]
    headings = ["", "model", "symbol", "trained through", "QLIKE to log-HAR", "saved (UTC)"]
    rows = [
        [
            "*" if row["serving"] else "",
            row["name"],
            row["symbol"] or "-",
            _minute(row["trained_through"] or "unknown"),
            "-" if row["qlike_ratio"] is None else f"{row['qlike_ratio']:.3f}",
            _minute(row["created"]),
        ]
        for row in models
    ]
    nothing = f"No model in {store.path} yet; python local_training.py trains one."
    return _say(options, models, _table(headings, rows) if models else nothing)


def _show(options: argparse.Namespace) -> int:
    store = _store(options)
    manifest = store.verify(options.model)
    history = [asdict(entry) for entry in store.history() if entry.name == manifest["name"]]
    shown = {**manifest, "serving": store.serving() == manifest["name"], "history": history}
    lines = [[key, _short(value)] for key, value in shown.items() if key not in ("files", "packages", "history")]
    lines += [["file", f"{name}, {entry['bytes']:,} bytes"] for name, entry in manifest["files"].items()]
    lines += [["history", f"{entry['since'][:16]} {entry['event']}: {entry['reason']}"] for entry in history]
    return _say(options, shown, _table(["", manifest["name"]], lines))


def _history(options: argparse.Namespace) -> int:
    entries = [asdict(entry) for entry in _store(options).history()]
    rows = [
        [entry["since"][:19], entry["asof"] or "", entry["event"], entry["name"], entry["reason"]] for entry in entries
    ]
    headings = ["since (UTC)", "simulated time", "event", "model", "why"]
    return _say(options, entries, _table(headings, rows) if rows else "Nothing was decided in this store yet.")


def _promote(options: argparse.Namespace) -> int:
    store = _store(options)
    before = store.serving()
    store.promote(options.model, options.reason)
    said = f"{options.model} serves from now on" + (f", in place of {before}." if before != options.model else ".")
    return _say(options, {"serving": options.model, "before": before}, said)


def _rollback(options: argparse.Namespace) -> int:
    store = _store(options)
    before = store.serving()
    serving = store.rollback(options.reason)
    return _say(options, {"serving": serving, "before": before}, f"{serving} serves again, in place of {before}.")


def _prune(options: argparse.Namespace) -> int:
    deleted = _store(options).prune(options.keep)
    said = f"Deleted {len(deleted)}: {', '.join(deleted)}." if deleted else "There was nothing to delete."
    return _say(options, {"deleted": deleted}, said)


def _verify(options: argparse.Namespace) -> int:
    found = _store(options).verify_all()
    if options.model is not None:
        found = {options.model: found.get(options.model, f"there is no model {options.model} in the store.")}
    wrong = {name: problem for name, problem in found.items() if problem is not None}
    rows = [[name, problem or "as it was saved"] for name, problem in found.items()]
    _say(options, found, _table(["model", "state"], rows) if rows else "There is no model to verify.")
    return 1 if wrong else 0


def _export(options: argparse.Namespace) -> int:
    paths = [str(path) for path in _store(options).export_colab(options.model, options.directory)]
    return _say(options, {"network": paths[0], "scaler": paths[1]}, f"Written: {paths[0]} and {paths[1]}")


def _import_colab(options: argparse.Namespace) -> int:
    bundle = _store(options).import_colab(options.network, options.scaler, options.name)
    said = f"Saved as {bundle.name}; let it serve with: volcast models promote {bundle.name}"
    return _say(options, {"name": bundle.name, "path": str(bundle.path)}, said)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
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


def _summary(manifest: dict[str, Any], serving: str | None) -> dict[str, Any]:
    metrics = (manifest.get("evaluation") or {}).get("metrics", {})
    keys = ("name", "symbol", "trained_through", "created", "simulated")
    return {
        **{key: manifest.get(key) for key in keys},
        "qlike_ratio": metrics.get("model", {}).get("qlike_ratio"),
        "serving": manifest["name"] == serving,
    }


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _table(headings: list[str], rows: list[list[str]]) -> "Table":
    from rich.table import Table

    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _say(options: argparse.Namespace, content: Any, for_people: "Table | str") -> int:
    from rich.console import Console

    if options.json:
        print(json.dumps(content, indent=2, default=str))
        return 0
    console = Console(soft_wrap=isinstance(for_people, str))
    if not isinstance(for_people, str):
        # Names and reasons stay whole: the terminal may break a line, the table does not.
        wide = console.options.update(max_width=_WIDEST)
        console.width = max(console.width, console.measure(for_people, options=wide).maximum)
    console.print(for_people, highlight=False, markup=False)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Look at, check and choose among trained models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--store", metavar="DIR", help="where the models are (default: volatility_models/)")
    common.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about, parents=[common])

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
    colab.add_argument("network", help="the .h5; the .pkl is looked for beside it")
    colab.add_argument("--scaler", metavar="FILE", help="the .pkl")
    colab.add_argument("--name", help="what to call the model")
    return parser
