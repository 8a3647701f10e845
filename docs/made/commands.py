"""The pages of all commands and of what they end with."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from made.cells import code, described, grid

__all__ = ["commands", "exit_codes"]


def commands(known: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the page of all commands with their arguments."""
    lines = [
        "# Commands",
        "",
        "Made from the command line itself when this page was built. Every command knows "
        "`--help`; `--json` prints what a program can read. The numbers with which a command ends "
        "are [exit codes](exit_codes.md).",
        "",
    ]
    for name, parser in known.items():
        lines += _command(f"margin-stress {name}", name, parser, 2)
    return "\n".join(lines)


def _command(title: str, anchor: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {title} {{ #{anchor} }}"
    yield ""
    yield described(parser.description, title)
    yield ""
    plain = [a for a in parser._actions if not isinstance(a, argparse._SubParsersAction)]
    shown = [action for action in plain if action.dest != "help"]
    shown.sort(key=lambda action: bool(action.option_strings))
    yield from ("```", *_usage(title, shown), "```", "")
    yield from grid(("argument", "what"), (_argument(action, title) for action in shown))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _command(f"{title} {name}", f"{anchor}-{name}", below, level + 1)


def _usage(command: str, actions: Iterable[argparse.Action]) -> list[str]:
    """Return how a command is written, broken between its arguments only."""
    parts = [_written(action).replace(" ", "\0") for action in actions]
    lines = textwrap.wrap(
        " ".join([command, *parts]), 76, subsequent_indent="    ", break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def _written(action: argparse.Action) -> str:
    value = _value(action)
    if action.option_strings:
        named = " ".join([action.option_strings[0], value]).strip()
        return named if action.required else f"[{named}]"
    return {"+": f"{value} [{value} ...]", "*": f"[{value} ...]", "?": f"[{value}]"}.get(
        str(action.nargs), value
    )


def _value(action: argparse.Action) -> str:
    """Return what stands for the value of an argument; nothing where it has none."""
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    metavar = action.metavar or action.dest.upper()
    return metavar if isinstance(metavar, str) else " ".join(metavar)


def _argument(action: argparse.Action, command: str) -> tuple[str, str]:
    name = " ".join([", ".join(action.option_strings), _value(action)]).strip()
    what = described(action.help, f"{name} of {command}")
    return code(name), what + (" (required)" if action.required and action.option_strings else "")


def exit_codes(codes: Mapping[int, str]) -> str:
    """Return the page of all exit codes."""
    rows = ((f"`{code}`", described(meaning, str(code))) for code, meaning in codes.items())
    return "\n".join(
        [
            "# Exit codes",
            "",
            "A scheduler needs nothing else to know how the night was. Of several scenarios the "
            "gravest counts.",
            "",
            *grid(("code", "means"), rows),
            "A limit is *kept* when even the upper bound of its estimate's interval is not above "
            "the threshold, *breached* when the estimate itself is above it, and *not resolved* in "
            "between: more paths say which. Where a limit is on a maximum over accounts, the bound "
            "is Bonferroni's over accounts. 3 goes before 4.",
            "",
            "With 2 and 5 the last line on stderr names the file, the key, what must hold and the "
            "way out. With `--json` it stands on stdout too, as `error` beside `exit_code`.",
            "",
        ]
    )
