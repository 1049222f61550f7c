"""The command ``leadapron``: a thin root that loads a command only when it is called.

``leadapron --help`` has to come at once, so nothing of the wings is imported before a command is chosen; the summaries
below are all that the root knows. Exit codes: 0 done; 1 our failure; 2 wrong usage, configuration or scope; 3 done, and
something is at or above ``--fail-on``; 130 stopped by the user.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

import click

from leadapron import __version__
from leadapron.kernel.errors import LeadApronError

# name → (module:attribute, section, summary). The attribute is a click command.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": (
        "leadapron.cli.demo:command",
        "First look",
        "See what this is for: a simulated street, scanned and reported.",
    ),
    "lab": ("leadapron.cli.lab:command", "First look", "Start simulated imaging servers on loopback."),
    "scan": (
        "leadapron.cli.scan:command",
        "Watch",
        "Find imaging servers that strangers can open; measure what they expose.",
    ),
    "campaign": (
        "leadapron.cli.campaign:command",
        "Watch",
        "Look at what is scanned again and again; pause it, ask for a round.",
    ),
    "report": ("leadapron.cli.report:command", "Watch", "Show an earlier scan again, or write its report."),
    "scope": ("leadapron.cli.scope:command", "Watch", "Write or read a scope file: what you are authorised to touch."),
    "schema": ("leadapron.cli.schema:command", "Watch", "Print the JSON Schema of a record."),
    "owner": ("leadapron.cli.owner:command", "Reach", "Find out whom to tell of an exposed server, and confirm it."),
    "cases": ("leadapron.cli.cases:command", "Reach", "Follow open servers up until they are closed."),
    "notices": (
        "leadapron.cli.notices:command",
        "Reach",
        "Write to owners: read drafts, approve, send, and see what became of them.",
    ),
    "feed": (
        "leadapron.cli.feed:command",
        "Reach",
        "Write what stands open for CERTs: IntelMQ, CSV, STIX, OCSF, JSON lines.",
    ),
    "statistics": (
        "leadapron.cli.statistics:command",
        "Reach",
        "Write figures that are fit to publish: aggregates only, small cells suppressed.",
    ),
    "init": ("leadapron.cli.init:command", "Guard", "Set up a guard in front of an archive, or a watch over networks."),
    "up": ("leadapron.cli.up:command", "Guard", "Run what the configuration has: guard, campaigns, console."),
    "check": ("leadapron.cli.check:command", "Guard", "Look at the guard and what is behind it as a stranger would."),
    "peer": ("leadapron.cli.peer:command", "Guard", "Let machines in, shut them out, say what they may."),
    "edge": ("leadapron.cli.edge:command", "Guard", "Stand beside a device without TLS and speak for it."),
    "user": ("leadapron.cli.user:command", "Guard", "Say which people may come in, and with what."),
    "audit": ("leadapron.cli.audit:command", "Guard", "Look at the audit trail, check that it is whole, or export it."),
}


@contextlib.contextmanager
def _reader_may_go() -> Iterator[None]:
    """Whoever read our output has gone (head, a closed pager): not an error of ours, though click says so."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


class Root(click.Group):
    """Knows its commands by name and loads them when asked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " 'leadapron --help' lists them."
            raise click.UsageError(f"There is no command '{name}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _reader_may_go():  # --help is answered here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _reader_may_go():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (_, section, summary) in COMMANDS.items():
            sections.setdefault(section, []).append((name, summary))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=Root,
    name="leadapron",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="New here? 'leadapron demo' shows everything in under two minutes and touches only this machine.",
)
@click.version_option(__version__, "-V", "--version", message="leadapron %(version)s")
def root() -> None:
    """Lead Apron finds medical images that anyone can open, gets them closed, and keeps them closed."""


def main() -> None:
    """Entry point: errors become one clear line on stderr and an exit code."""
    _standing()
    _sayable()
    try:
        code = root.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("Stopped.", file=sys.stderr)
        code = 130
    except LeadApronError as error:
        print(f"leadapron: {error}", file=sys.stderr)
        code = error.exit_code
    except Exception as error:
        if os.environ.get("LEADAPRON_DEBUG"):
            raise
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # The text of a foreign exception may quote what a server sent: only its kind is shown (invariant 2).
        print(
            "leadapron: cannot write the output: the disk is full"
            if full
            else f"leadapron: this is a bug of ours ({type(error).__name__}). "
            "Run it again with LEADAPRON_DEBUG=1 and report what you see, please.",
            file=sys.stderr,
        )
        code = 1
    sys.exit(_emptied(code if isinstance(code, int) else 0))


def _standing() -> None:
    """Streams that whoever started us had closed (``>&-``) lead to nowhere. Else a connection would get the number of
    one of them, and what is printed there would be sent to a server."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(descriptor, "w" if number else "r"))


def _sayable() -> None:
    """Where the locale does not know all characters (LANG=C), a terminal shows a question mark for the rest; what goes
    into a pipe or a file is UTF-8 all the same, which is what programs expect of JSON and CSV."""
    out = sys.stdout  # stderr never fails: Python escapes there
    if not isinstance(out, io.TextIOWrapper) or out.encoding.lower().replace("-", "") == "utf8":
        return
    if out.isatty():
        out.reconfigure(errors="replace")
    else:
        out.reconfigure(encoding="utf-8")


def _emptied(code: int) -> int:
    """Write what stdout still holds, or give it up: Python would try once more at exit and end with a code of its own
    (120). Gives the exit code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            print(f"leadapron: cannot write to standard output: {error.strerror}", file=sys.stderr)
            return 1
    return code


if __name__ == "__main__":
    main()
