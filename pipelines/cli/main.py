"""The command `headrace`: reads arguments, calls the flow, turns errors into exit codes.

Exit codes: 0 done, 1 fault (ours), 2 user error, 3 gate failed.
"""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from headrace.cluster.errors import AGAIN, INTERRUPTED, HeadraceError, place
from headrace.pipelines.cli import recipe_commands, run_commands
from headrace.pipelines.cli.arguments import app as app
from headrace.pipelines.console import Mode, say

COMMANDS = (recipe_commands, run_commands)  # loaded, so that their functions are commands


@app.command()
def demo(
    directory: Annotated[str, typer.Argument(help="Where to write sample, model and run.")] = "demo",
    rows: Annotated[int, typer.Option(min=600, help="Made-up tickets; fewer are done sooner.")] = 2400,
) -> None:
    """Make a messy sample and a tiny model, and take them the whole way."""
    from headrace.pipelines.commands.demo import build

    path = build.build(directory, rows)
    say("plain", "demo", f"demo: headrace run {path}")
    if code := main(["run", path]):
        raise typer.Exit(code)
    build.compare(os.path.join(directory, "run"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    call: Callable[..., Any] = typer.main.get_command(app)
    mode: Mode = "json" if "--json" in (arguments or sys.argv[1:]) else "plain"
    # Inside transformers, of its own attributes: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        call(args=list(arguments) if arguments is not None else None)
    except SystemExit as ended:  # how typer ends, after telling of a wrong argument itself
        if ended.code == 130:  # what typer makes of Ctrl-C
            return _interrupted(mode)
        if ended.code == signal.SIGTERM or _asked_to_end():
            say(mode, "error", INTERRUPTED)
            return 128 + signal.SIGTERM
        return ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        return _interrupted(mode)
    except HeadraceError as error:
        say(mode, "error", f"error: {error}", exit_code=error.exit_code)
        if os.environ.get("HEADRACE_DEBUG"):
            traceback.print_exception(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence
        say(mode, "error", _fault(error), exit_code=1)
        return 1
    return 0


def _asked_to_end() -> bool:
    """By SIGTERM, whatever Ray has made of it on its way here."""
    session = sys.modules.get("headrace.cluster.session")
    return session is not None and session.asked_to_end()


def _interrupted(mode: Mode) -> int:
    """By Ctrl-C, or because Ray was lost where nobody explained it."""
    watch = sys.modules.get("headrace.cluster.watch")
    if watch is not None and watch.lost():
        say(mode, "error", f"error: {watch.lost()}", exit_code=1)
        return 1
    say(mode, "error", INTERRUPTED)
    return 130


def _fault(error: Exception) -> str:
    """An unforeseen error without its message, which may quote what was read."""
    if os.environ.get("HEADRACE_DEBUG"):
        return "".join(traceback.format_exception(error))
    return f"fault: {place(error)}. {AGAIN}"
