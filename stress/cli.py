"""The command line: verbs, options and exit codes. What a verb does lives elsewhere.

A verb imports what it needs when it is called, so that ``--help`` and ``validate`` start at once.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import io
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

from stress.errors import EXIT_CODES, READER_GONE, InputError, Interrupted, StressError, closest
from stress.types import MODES, REPORT_FORMATS, ReportFormat

__all__ = ["main", "parsers"]

_PROGRAM = "margin-stress"
_BUG = 1

_ALLOCATIONS = 100_000
"""Objects made, less those gone, between two collections of a command; Python's own is 700."""


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
    _print_any_name()
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
        return READER_GONE
    except Exception as error:
        traceback.print_exc()
        return _fail(f"a bug: {error!r}; please report it with the lines above", _BUG, as_json)


def _print_any_name() -> None:
    """Let a file's name be printed escaped where it is no text, or none that the terminal knows."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
    parser = _parser(name, verb)
    if "-h" in rest or "--help" in rest:
        print(parser.format_help(), end="")
        return 0
    _check_options(parser, rest)
    return verb.call(parser.parse_args(rest))


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command by its name, for those who describe the command line."""
    return {name: _parser(name, verb) for name, verb in _VERBS.items()}


def _parser(name: str, verb: _Verb) -> _Parser:
    parser = _Parser(prog=f"{_PROGRAM} {name}", description=f"{verb.summary}.")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    verb.options(parser)
    return parser


def _verb(name: str) -> _Verb:
    if name in _VERBS:
        return _VERBS[name]
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
            f'Options of a command: "{_PROGRAM} COMMAND --help". Exit codes:',
            *(f"  {code:>2}  {meaning}" for code, meaning in EXIT_CODES.items()),
        ]
    )


def _file(parser: _Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="scenario file (TOML)")


def _mode(parser: _Parser) -> None:
    parser.add_argument("--mode", choices=MODES, help="main world, instead of the scenario's")


def _format(parser: _Parser, what: str) -> None:
    known = ",".join(REPORT_FORMATS)
    parser.add_argument(
        "--format",
        metavar="F,F",
        default="html",
        help=f"{what}, of {known}; csv is a file for every table",
    )


def _formats(text: str) -> tuple[ReportFormat, ...]:
    names = _names(text, "format", "--format", "html,md") or []
    for name in names:
        if name not in REPORT_FORMATS:
            rule = f'unknown format "{name}"'
            raise InputError(rule, key="--format", remedy=closest(name, REPORT_FORMATS))
    return tuple(known for known in REPORT_FORMATS if known in names)


def _run_options(parser: _Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="scenario files (TOML)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="run folder, of several scenarios the folder of their run folders; default under "
        "results/",
    )
    _book(parser)
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
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the newest unfinished run of the scenario, or with the run in --out, "
        "which may get more --paths; start one if there is none",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no warnings on stderr"
    )
    _keep(parser)
    _format(parser, "write the report in these formats too")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="simulate in N processes on this machine, by Dask"
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="simulate on the workers of a Dask scheduler, such as tcp://10.0.0.1:8786",
    )
    parser.add_argument("--log", metavar="FILE", help="append what happens, as JSON lines")
    parser.add_argument(
        "--on-finish",
        metavar="COMMAND",
        help="run this at the end, well or not; MARGIN_STRESS_REPORT, _EXIT_CODE and others in its "
        "environment say how it went",
    )


def _run(options: argparse.Namespace) -> int:
    from stress.runner.command import run_command
    from stress.runner.options import RunOptions
    from stress.runner.unattended import unattended

    with unattended(log=options.log, on_finish=options.on_finish, complain=_complain) as events:
        asked = RunOptions(
            out=options.out,
            book=options.book,
            paths=options.paths,
            seed=options.seed,
            mode=options.mode,
            device=options.device,
            calibration_draws=options.calibration_draws,
            formats=_formats(options.format),
            resume=options.resume,
            keep=options.keep,
            workers=options.workers,
            cluster=options.cluster,
            quiet=options.quiet,
        )
        code = run_command(options.files, asked, as_json=options.json, events=events)
        return events.ended(code)


def _complain(text: str) -> None:
    print(f"{_PROGRAM}: {text}", file=sys.stderr)


def _book(parser: _Parser) -> None:
    parser.add_argument(
        "--book", metavar="DIR", help="folder of a book, used instead of the scenario's own"
    )


def _validate_options(parser: _Parser) -> None:
    _file(parser)
    _book(parser)


def _validate(options: argparse.Namespace) -> int:
    from stress.scenario.command import validate_command

    return validate_command(options.file, book=options.book, as_json=options.json)


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


def _schema_options(parser: _Parser) -> None:
    parser.add_argument(
        "--summary", action="store_true", help="of a run's summary.json, not of scenario files"
    )


def _schema(options: argparse.Namespace) -> int:
    if options.summary:
        from stress.result.command import summary_schema_command

        return summary_schema_command()
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


def _import_options(parser: _Parser) -> None:
    parser.add_argument("kind", choices=("positions", "tiers", "prices"), help="what to import")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        default=[],
        help="exported files to read instead of an exchange; of prices BTC=FILE too",
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write")
    parser.add_argument(
        "--exchange",
        metavar="NAME",
        help="binance, okx, htx, bybit or hyperliquid; keys come from the environment",
    )
    parser.add_argument(
        "--account",
        metavar="NAME",
        action="append",
        default=[],
        help="label of the account; may be repeated, each with keys of its own",
    )
    parser.add_argument(
        "--assets", metavar="A,B", help="assets of the tiers or prices; of a book, the only ones"
    )
    parser.add_argument(
        "--without",
        metavar="SYMBOL",
        action="append",
        default=[],
        help="leave a contract out of the book, such as BTC/USDT:USDT-261225; may be repeated",
    )
    parser.add_argument("--bar", metavar="LENGTH", default="1h", help="length of bars; default 1h")
    parser.add_argument(
        "--since", metavar="TIME", help="first moment of the bars; default a year ago"
    )
    _import_file_options(parser)


def _import_file_options(parser: _Parser) -> None:
    files = parser.add_argument_group("what files do not say themselves")
    said = (
        ("--as-of", "TIME", "moment of the positions"),
        ("--balances", "FILE", "balances of the accounts"),
    )
    repeated = (
        ("--cash", "[ACCOUNT=]USD", "cash of an account"),
        ("--contract-size", "ASSET=COINS", "coins in a contract, where sizes are in contracts"),
        ("--column", "FIELD=NAME", "which column holds what, if it is not known by its name"),
    )
    for option, value, text in said:
        files.add_argument(option, metavar=value, help=text)
    for option, value, text in repeated:
        help_text = f"{text}; may be repeated"
        files.add_argument(option, metavar=value, action="append", default=[], help=help_text)
    files.add_argument("--margin-mode", choices=("cross", "isolated"), help="of every position")
    files.add_argument(
        "--decimal", metavar="MARK", choices=(".", ","), help='decimal mark, "." or ","'
    )
    files.add_argument("--date-order", choices=("DMY", "MDY"), help="day or month first")
    parser.long_options += [option for option, _, _ in (*said, *repeated)]
    parser.long_options += ["--margin-mode", "--decimal", "--date-order"]


def _import(options: argparse.Namespace) -> int:
    assets = _names(options.assets, "asset", "--assets", "BTC,ETH")
    if (options.exchange is None) == (not options.files):
        rule = "name one source: files or an exchange"
        raise InputError(rule, remedy="give FILE or --exchange NAME")
    _refuse_of_other_source(options)
    if options.files:
        return _import_files(options, assets)
    from stress.importers.command import Request, import_command

    request = Request(
        exchange=options.exchange,
        accounts=tuple(options.account),
        assets=tuple(assets) if assets else None,
        without=tuple(options.without),
        bar=options.bar,
        since=options.since,
    )
    return import_command(options.kind, options.output, request, as_json=options.json)


def _refuse_of_other_source(options: argparse.Namespace) -> None:
    """Refuse an option that only the other source, files or exchange, would look at."""
    of_files = ("as_of", "balances", "cash", "contract_size", "column", "margin_mode", "decimal")
    others = ("since",) if options.files else (*of_files, "date_order")
    for name in others:
        if getattr(options, name):
            rule = f"is no option of {'files' if options.files else 'an exchange'}"
            raise InputError(rule, key=f"--{name.replace('_', '-')}", remedy="leave it out")


def _import_files(options: argparse.Namespace, assets: list[str] | None) -> int:
    if len(options.account) > 1:
        rule = "a file has one account, or a column that names them"
        raise InputError(rule, key="--account", remedy="name one")
    from stress.importers.files.command import FileRequest, files_command

    request = FileRequest(
        files=tuple(options.files),
        account=options.account[0] if options.account else None,
        as_of=options.as_of,
        margin_mode=options.margin_mode,
        balances=options.balances,
        decimal=options.decimal,
        date_order=options.date_order,
        assets=tuple(assets) if assets else None,
        without=tuple(options.without),
        cash=tuple(options.cash),
        contract_size=tuple(options.contract_size),
        columns=tuple(options.column),
    )
    return files_command(options.kind, options.output, request, as_json=options.json)


def _example_options(parser: _Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of a shipped scenario")
    parser.add_argument("directory", metavar="DIR", help="where to write it")


def _example(options: argparse.Namespace) -> int:
    from stress.scenario.command import example_command

    return example_command(options.name, options.directory, as_json=options.json)


def _report_options(parser: _Parser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="run folder, with its result.nc")
    _format(parser, "write the report in these formats")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="folder to write to; the run folder if not given"
    )


def _report(options: argparse.Namespace) -> int:
    from stress.report.command import report_command

    return report_command(
        options.run_folder,
        formats=_formats(options.format),
        out=options.output,
        as_json=options.json,
    )


def _history_options(parser: _Parser) -> None:
    parser.add_argument("root", metavar="ROOT", nargs="?", help="folder of runs; default results/")
    _keep(parser)


def _keep(parser: _Parser) -> None:
    parser.add_argument(
        "--keep",
        metavar="N",
        type=int,
        help="remove run folders older than the N newest of a scenario; never the latest, nor one "
        "with a breached limit",
    )


def _history(options: argparse.Namespace) -> int:
    from stress.history.command import history_command

    return history_command(options.root, keep=options.keep, as_json=options.json)


def _info(options: argparse.Namespace) -> int:
    from stress.runner.device import info_command

    return info_command(as_json=options.json)


def _compare_options(parser: _Parser) -> None:
    parser.add_argument("one", metavar="A", help="run folder, the earlier one")
    parser.add_argument("other", metavar="B", help="run folder; differences are B minus A")
    parser.add_argument("-o", "--output", metavar="PAGE", help="HTML page to write")


def _compare(options: argparse.Namespace) -> int:
    from stress.compare.command import compare_command

    return compare_command(options.one, options.other, output=options.output, as_json=options.json)


def _none(parser: _Parser) -> None:
    return None


_VERBS = {
    "run": _Verb(
        "Simulate scenarios; write run folders with result and report", _run_options, _run
    ),
    "validate": _Verb(
        "Check a scenario and its inputs without simulating", _validate_options, _validate
    ),
    "margin": _Verb("Show every account's margin without simulating", _margin_options, _margin),
    "ladder": _Verb(
        "Show what moves of the market liquidate, without simulating", _ladder_options, _ladder
    ),
    "schema": _Verb(
        "Print the JSON Schema of scenario files, or of summaries", _schema_options, _schema
    ),
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
    "import": _Verb(
        "Write accounts and positions, margin tiers or prices of an exchange or of files",
        _import_options,
        _import,
    ),
    "example": _Verb("Write a shipped scenario with its files", _example_options, _example),
    "report": _Verb("Draw the report of a run folder again", _report_options, _report),
    "compare": _Verb(
        "Show what changed between two runs and what came of it", _compare_options, _compare
    ),
    "history": _Verb(
        "Show the trend over run folders and draw their index", _history_options, _history
    ),
    "info": _Verb("Print versions, devices, memory and precision", _none, _info),
}
