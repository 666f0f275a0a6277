"""What all commands share: they read their arguments, work, and end with one sentence and a status.

Statuses: 0 done, 1 failed, 2 wrong use, 130 and 143 interrupted by SIGINT and SIGTERM.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from volcast.errors import ConfigError, VolatilityError, describe_os_error

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["Work", "command_parser", "plain_table", "run_command", "subcommands", "tell"]

_WIDE, _WIDEST = 240, 1000

Work = Callable[[argparse.Namespace, "Console", "Console"], int]
"""What a command does with its options, where results go, and where all else goes; returns the exit status."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def command_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of a command, whose `epilog` is printed as it is written."""
    return argparse.ArgumentParser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def subcommands(
    parser: argparse.ArgumentParser, add_shared: Callable[[argparse.ArgumentParser], None]
) -> Callable[[str, str], argparse.ArgumentParser]:
    """What makes a subcommand of `parser` from its name and a sentence about it, and puts its name in ``command``.

    The options of `add_shared` may stand before the subcommand and after it; after it they win.
    """
    add_shared(parser)
    # Without defaults, which would take the place of what stands before.
    after = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    add_shared(after)
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")

    def subcommand(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=f"{about[:1].upper()}{about[1:]}.", parents=[after])

    return subcommand


def run_command(
    parser: argparse.ArgumentParser, work: Work, arguments: Sequence[str] | None, *, interrupted: str
) -> int:
    """Do `work` as the `arguments` say (None: those of the process); returns the exit status.

    What goes wrong is one sentence on standard error, and with ``--json`` an object on standard output, too.
    `interrupted` is what to say where Ctrl-C or SIGTERM ends it.
    """
    options = parser.parse_args(arguments)
    # By name: a search puts sys.stdout aside while it runs, and what is said meanwhile must go on being seen.
    out, err = _console(sys.stdout), _console(sys.stderr)
    try:
        with _termination_as_interrupt():
            status = work(options, out, err)
        sys.stdout.flush()
        return status
    except VolatilityError as error:
        return _ended(f"error: {error}", 2 if isinstance(error, ConfigError) else 1, options, err)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _ended(f"error: {describe_os_error(error)}", 1, options, err)
    except KeyboardInterrupt as interrupt:
        number = signal.SIGTERM if isinstance(interrupt, _Terminated) else signal.SIGINT
        return _ended(interrupted, 128 + number, options, err)


def tell(options: argparse.Namespace, out: "Console", content: Any, for_people: "RenderableType") -> None:
    """Print `content` as JSON where ``--json`` was asked for, else what is for people, tables unbroken."""
    if options.json:
        print(json.dumps(content, indent=2, default=str))
        return
    # The terminal may break a line, a table does not: names and reasons stay whole.
    wide = out.options.update(max_width=_WIDEST)
    out.width = max(out.width, out.measure(for_people, options=wide).maximum)
    out.print(for_people)


def plain_table(rows: Sequence[Mapping[str, Any]]) -> "Table":
    """A table without lines; the keys of the first of `rows` are its headings."""
    from rich.table import Table

    table = Table(box=None)
    for heading in rows[0]:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    return table


def _console(file: TextIO) -> "Console":
    from rich.console import Console

    console = Console(file=file, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        # A terminal's lines break between words; a pipe's or a file's are left to whoever reads them.
        console.soft_wrap, console.width = True, _WIDE
    return console


def _ended(sentence: str, status: int, options: argparse.Namespace, err: "Console") -> int:
    if getattr(options, "json", False):
        print(json.dumps({"error": sentence.removeprefix("error: "), "exit_status": status}))
    err.print(sentence)
    return status


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does: what the command started is ended, and the user is told how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
