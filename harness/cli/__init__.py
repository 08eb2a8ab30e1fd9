"""The command line: one module a verb, loaded when asked for; the only place that catches HarnessError."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback

import click

from harness.api.errors import EnvironmentProblem, HarnessError, MethodFailed, UsageError
from harness.api.foreign import describe_error, hear_interrupts
from harness.cli import completion
from harness.cli.answer import end_answer, set_apart
from harness.cli.loading import keep_for_good
from harness.cli.streams import streams_held
from harness.cli.terminal import say
from harness.version import __version__

VERBS = {
    "run": "Run a method on a benchmark: masks, scores, clocks, record.",
    "train": "Train a method that can be trained: weights, log, curve.",
    "merge": "Put the shards of a run together into one run and its record.",
    "learning-curve": "Score a method that learns at test time after every so many iterations.",
    "tune": "Pick the object's channel, and the better weights, without truth.",
    "score": "Score masks made elsewhere.",
    "pack": "Make the zip a benchmark's server takes.",
    "ls": "List plugins, benches, corruptions, metrics, experiments or runs.",
    "leaderboard": "Add records, build and check the leaderboard.",
    "view": "Look at a run: pages with its frames, overlays as a video, a contact sheet.",
    "compare": "Compare two records; a gate for CI.",
    "ab": "Compare base and head of a method in turns, in one job; a gate for CI.",
    "reproduce": "Run a paper's table and show measured beside published.",
    "bench": "Bench kernels, whole methods, and the effect of precision.",
    "check": "Check that a method keeps its promises.",
    "new-plugin": "Write a plugin of your own: a method that runs, tests, CI.",
    "data": "Check, fetch and fingerprint benchmark data.",
    "schema": "Print the JSON schema of a record.",
    "doctor": "Say what this machine and its plugins can do.",
}

INTERRUPTED = 130
"""The exit code after Ctrl-C; after SIGTERM and SIGHUP it is the shell's for those, 143 and 129."""


class Verbs(click.Group):
    """Finds each verb in harness.cli.<verb> (a dash is an underscore there), imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's click command."""
        if cmd_name not in VERBS:
            return None
        with keep_for_good():
            command: click.Command = importlib.import_module(f"harness.cli.{cmd_name.replace('-', '_')}").command
        set_apart(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb asked for, or a usage error with a did-you-mean."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise UsageError.unknown("command", args[0], VERBS, hint="harness --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def root(ctx: click.Context, debug: bool) -> None:
    """Run, score, time and compare video object segmentation methods."""
    ctx.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code (see docs/commands.md)."""
    is_a_process = arguments is None
    if is_a_process and completion.is_asked():
        sys.exit(completion.answer_shell(root))
    with streams_held(), hear_interrupts(signal.SIGTERM, signal.SIGHUP) as heard:
        code = _answer(sys.argv[1:] if arguments is None else arguments)
    if is_a_process:
        end_answer()
    sys.exit(128 + heard[0] if heard and code == INTERRUPTED else code)


def _answer(arguments: list[str]) -> int:
    """Run the command; the exit code it comes to."""
    try:
        code = root.main(args=arguments, prog_name="harness", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except HarnessError as error:
        return _refuse(str(error), error.exit_code, arguments)
    except OSError as error:  # a full disk, a folder that cannot be written: found where nobody looked for it
        words = f"{error}\n  next: mend what the system names, or harness --debug shows where"
        return _refuse(words, EnvironmentProblem.exit_code, arguments)
    except (click.Abort, KeyboardInterrupt):
        say("interrupted: what was finished is kept; the same command goes on from there", err=True)
        return INTERRUPTED
    except Exception:  # a fault of the harness: its traceback is what a report needs
        raise
    except BaseException as error:  # sys.exit() in a plugin must not pass for an answer
        words = f"code of a plugin ended the command: {describe_error(error)}\n  next: harness --debug shows where"
        return _refuse(words, MethodFailed.exit_code, arguments)
    return code if isinstance(code, int) else 0


def _refuse(words: str, code: int, arguments: list[str]) -> int:
    if "--debug" in arguments:
        say(traceback.format_exc(), err=True)
    say(f"error: {words}", err=True)
    return code
