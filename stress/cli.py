"""The command line: verbs, options and exit codes. What a verb does lives elsewhere.

A verb imports what it needs when it is called, so that ``--help`` and ``validate`` start at once.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, NamedTuple, NoReturn

from stress.errors import InputError, Interrupted, StressError, closest
from stress.types import MODES

__all__ = ["main"]

_PROGRAM = "margin-stress"
_BUG = 1
_READER_GONE = 141
"""What a shell reports of a program whose reader closed the pipe (128 + SIGPIPE)."""

_ALLOCATIONS = 100_000
"""Objects made, less those gone, between two collections of a command; Python's own is 700."""

_NOT_BUILT = ("compare", "history", "import")
"""Verbs whose names are kept for what will come."""


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of exiting and knows its long options."""

    def __init__(self, **keywords: Any) -> None:
        self.long_options: list[str] = []
        super().__init__(allow_abbrev=False, **keywords)

    def add_argument(self, *names: str, **keywords: Any) -> argparse.Action:
        self.long_options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **keywords)

    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f'see "{self.prog} --help"')


class _Verb(NamedTuple):
    summary: str
    options: Callable[[_Parser], None]
    call: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error becomes one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    try:
        with _sigterm_as_interrupt(), _few_collections():
            code = _dispatch(arguments)
            sys.stdout.flush()
            return code
    except StressError as error:
        return _fail(str(error), error.exit_code, as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", Interrupted.exit_code, as_json)
    except BrokenPipeError:
        # nobody reads on: what is still buffered must not raise again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except Exception as error:
        traceback.print_exc()
        return _fail(f"a bug: {error!r}; please report it with the lines above", _BUG, as_json)


def _fail(text: str, code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": text, "exit_code": code}))
    print(f"{_PROGRAM}: error: {text}", file=sys.stderr)
    return code


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that finished work is kept."""
    if threading.current_thread() is not threading.main_thread():
        # only the main thread may set a handler
        yield
        return

    def interrupt(signum: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let Python look for garbage less often: imports make objects by the 100,000 that all stay."""
    before = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS, *before[1:])
    # nor is there any use in looking through them when the process ends
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        raise InputError("no command is given", remedy=f'see "{_PROGRAM} --help"')
    name, *rest = arguments
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name == "--version":
        import stress

        print(f"{_PROGRAM} {stress.__version__}")
        return 0
    verb = _verb(name)
    parser = _Parser(prog=f"{_PROGRAM} {name}", description=f"{verb.summary}.")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    verb.options(parser)
    if "-h" in rest or "--help" in rest:
        print(parser.format_help(), end="")
        return 0
    _check_options(parser, rest)
    return verb.call(parser.parse_args(rest))


def _verb(name: str) -> _Verb:
    if name in _VERBS:
        return _VERBS[name]
    if name in _NOT_BUILT:
        remedy = "use one of " + ", ".join(_VERBS)
        raise InputError(f'the command "{name}" is not built yet', remedy=remedy)
    if name.startswith("-"):
        rule = f'the first word must be a command, got "{name}"'
        raise InputError(rule, remedy="write the command first, then its options")
    raise InputError(f'unknown command "{name}"', remedy=closest(name, list(_VERBS)))


def _check_options(parser: _Parser, words: Sequence[str]) -> None:
    for word in words:
        if word == "--":
            break
        option = word.partition("=")[0]
        if option.startswith("--") and option not in parser.long_options:
            remedy = closest(option, parser.long_options)
            raise InputError(f'unknown option "{option}" of {parser.prog}', remedy=remedy)


def _overview() -> str:
    width = max(map(len, _VERBS))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in _VERBS.items()]
    return "\n".join(
        [
            f"usage: {_PROGRAM} COMMAND ... [--json]",
            "",
            "Monte Carlo stress tests of leveraged crypto books.",
            "",
            *lines,
            "",
            f'Options of a command: "{_PROGRAM} COMMAND --help". Exit codes: 0 done, every limit '
            "kept;",
            "1 a bug; 2 usage or invalid input; 3 a limit is breached; 4 not resolved; 5 an input",
            "file is absent; 75 interrupted.",
        ]
    )


def _file(parser: _Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="scenario file (TOML)")


def _mode(parser: _Parser) -> None:
    parser.add_argument("--mode", choices=MODES, help="main world, instead of the scenario's")


def _run_options(parser: _Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="scenario files (TOML)")
    parser.add_argument("--out", metavar="DIR", help="run folder; default under results/")
    parser.add_argument("--paths", metavar="N", type=int, help="number of price paths")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the random numbers")
    _mode(parser)
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where to compute")
    parser.add_argument(
        "--calibration-draws",
        metavar="K",
        type=int,
        default=0,
        help="run K draws of the calibration's parameters too, for intervals that hold its error",
    )
    parser.add_argument("--resume", action="store_true", help="not built yet")
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no warnings on stderr"
    )


def _run(options: argparse.Namespace) -> int:
    if options.resume:
        raise InputError("--resume is not built yet", remedy="remove the option")
    from stress.runner.command import run_command

    return run_command(
        options.files,
        out=options.out,
        paths=options.paths,
        seed=options.seed,
        mode=options.mode,
        device=options.device,
        calibration_draws=options.calibration_draws,
        quiet=options.quiet,
        as_json=options.json,
    )


def _validate(options: argparse.Namespace) -> int:
    from stress.scenario.command import validate_command

    return validate_command(options.file, as_json=options.json)


def _margin_options(parser: _Parser) -> None:
    _file(parser)
    _mode(parser)
    parser.add_argument(
        "--shock",
        metavar="ASSET=MOVE",
        action="append",
        default=[],
        help="show the display after a move, such as BTC=-0.2; may be repeated",
    )


def _margin(options: argparse.Namespace) -> int:
    shocks = _shocks(options.shock)
    from stress.runner.margin_command import margin_command

    return margin_command(options.file, shocks=shocks, mode=options.mode, as_json=options.json)


def _shocks(words: Sequence[str]) -> dict[str, float]:
    shocks: dict[str, float] = {}
    for word in words:
        asset, _, move = word.rpartition("=")
        try:
            value = float(move)
        except ValueError:
            value = float("nan")
        if not asset or not isfinite(value) or value <= -1:
            remedy = "write ASSET=MOVE with a move above -1, such as BTC=-0.2"
            raise InputError(f'"{word}" is not a shock', key="--shock", remedy=remedy)
        if asset in shocks:
            rule = f'"{asset}" is shocked twice'
            raise InputError(rule, key="--shock", remedy="give each asset one move")
        shocks[asset] = value
    return shocks


def _ladder_options(parser: _Parser) -> None:
    _file(parser)
    _mode(parser)


def _ladder(options: argparse.Namespace) -> int:
    from stress.runner.ladder_command import ladder_command

    return ladder_command(options.file, mode=options.mode, as_json=options.json)


def _schema(options: argparse.Namespace) -> int:
    from stress.scenario.command import schema_command

    return schema_command(as_json=options.json)


def _calibrate_options(parser: _Parser) -> None:
    parser.add_argument("prices", metavar="PRICES", help="price history: timestamp, asset, close")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    parser.add_argument("--assets", metavar="A,B", help="only these assets, in this order")
    parser.add_argument("--models", metavar="A,B", help="only these models; all if not given")
    parser.add_argument(
        "--keep-wicks", action="store_true", help="leave single-bar wicks in the history"
    )
    parser.add_argument("--since", metavar="TIME", help="first moment used")
    parser.add_argument("--until", metavar="TIME", help="last moment used")
    parser.add_argument(
        "--no-page",
        action="store_true",
        help="write no page that holds the models against the history",
    )


def _calibrate(options: argparse.Namespace) -> int:
    assets = _names(options.assets, "asset", "--assets", "BTC,ETH")
    models = _names(options.models, "model", "--models", "student-t,garch")
    from stress.calibrate.command import calibrate_command

    return calibrate_command(
        options.prices,
        options.output,
        assets=assets,
        since=options.since,
        until=options.until,
        models=models,
        remove_wicks=not options.keep_wicks,
        page=None if options.no_page else _page_writer(),
        as_json=options.json,
    )


def _page_writer() -> Callable[..., Any]:
    from stress.runner.calibration_page import write_page
    from stress.runner.compiled import use_compilation_cache

    use_compilation_cache()
    return write_page


def _names(text: str | None, kind: str, key: str, such_as: str) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        remedy = f"write them with commas, such as {such_as}"
        raise InputError(f"no {kind} is named", key=key, remedy=remedy)
    return names


def _backtest_options(parser: _Parser) -> None:
    _file(parser)
    parser.add_argument("--out", metavar="DIR", help="folder to write; default under results/")
    parser.add_argument(
        "--all", action="store_true", help="print the table of every model, by asset"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no warnings on stderr"
    )


def _backtest(options: argparse.Namespace) -> int:
    from stress.backtest.command import backtest_command

    return backtest_command(
        options.file,
        out=options.out,
        every=options.all,
        quiet=options.quiet,
        as_json=options.json,
    )


def _limits_options(parser: _Parser) -> None:
    _file(parser)
    parser.add_argument("--out", metavar="DIR", help="folder to write; default under results/")
    parser.add_argument("--paths", metavar="N", type=int, help="number of price paths")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the random numbers")
    parser.add_argument(
        "--budget",
        metavar="MINUTES",
        type=float,
        default=20.0,
        help="time for the questions that need cascades, in minutes; default 20",
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where to compute")
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no warnings on stderr"
    )


def _limits(options: argparse.Namespace) -> int:
    from stress.decide.command import limits_command

    return limits_command(
        options.file,
        out=options.out,
        paths=options.paths,
        seed=options.seed,
        budget=options.budget,
        device=options.device,
        quiet=options.quiet,
        as_json=options.json,
    )


def _example_options(parser: _Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of a shipped scenario")
    parser.add_argument("directory", metavar="DIR", help="where to write it")


def _example(options: argparse.Namespace) -> int:
    from stress.scenario.command import example_command

    return example_command(options.name, options.directory, as_json=options.json)


def _report_options(parser: _Parser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="run folder, with its result.nc")


def _report(options: argparse.Namespace) -> int:
    from stress.report.command import report_command

    return report_command(options.run_folder, as_json=options.json)


def _info(options: argparse.Namespace) -> int:
    from stress.runner.device import info_command

    return info_command(as_json=options.json)


def _none(parser: _Parser) -> None:
    return None


_VERBS = {
    "run": _Verb(
        "Simulate scenarios; write run folders with result and report", _run_options, _run
    ),
    "validate": _Verb("Check a scenario and its inputs without simulating", _file, _validate),
    "margin": _Verb("Show every account's margin without simulating", _margin_options, _margin),
    "ladder": _Verb(
        "Show what moves of the market liquidate, without simulating", _ladder_options, _ladder
    ),
    "schema": _Verb("Print the JSON Schema of scenario files", _none, _schema),
    "calibrate": _Verb(
        "Write a market calibration from a price history", _calibrate_options, _calibrate
    ),
    "backtest": _Verb(
        "Test price models and liquidation forecasts against a price history",
        _backtest_options,
        _backtest,
    ),
    "limits": _Verb(
        "Find the limits that keep the declared risk appetite", _limits_options, _limits
    ),
    "example": _Verb("Write a shipped scenario with its files", _example_options, _example),
    "report": _Verb("Draw the report of a run folder again", _report_options, _report),
    "info": _Verb("Print versions, devices, memory and precision", _none, _info),
}
