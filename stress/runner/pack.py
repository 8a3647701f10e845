"""Several scenarios in one command: all are checked before the first runs, none stops another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from stress.errors import InputError, Interrupted, StressError, exit_code_of
from stress.history.command import ROOT
from stress.history.pack import INTERRUPTED, Member, check_page, gravest, pack_page, write_pack
from stress.history.prune import check_keep
from stress.history.runs import read_run
from stress.runner.folder import RunFolder
from stress.runner.ledger import is_ledger
from stress.runner.options import RunOptions
from stress.scenario.build import build_setting, load_book
from stress.scenario.freshness import check_freshness
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario

__all__ = ["Outcome", "Pack", "Task", "load_tasks", "run_pack"]


class Task(NamedTuple):
    """A scenario and the options that it is run with."""

    scenario: Scenario
    options: RunOptions


RunOne: TypeAlias = Callable[[Scenario, RunOptions], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of one scenario.

    Attributes
    ----------
    member
        Its row on the page.
    facts
        Its summary with the report's path; of one without a result the error.
    error
        What ended it; None if it has a result or was not begun.
    """

    member: Member
    facts: Mapping[str, Any]
    error: BaseException | None = None


@dataclass(frozen=True)
class Pack:
    """What became of several scenarios, in the order of their files.

    Attributes
    ----------
    outcomes
        One a scenario.
    page
        The page, worst first.
    """

    outcomes: tuple[Outcome, ...]
    page: Path

    @property
    def exit_code(self) -> int:
        """Return the gravest exit code."""
        return gravest([outcome.member for outcome in self.outcomes])


def load_tasks(files: Sequence[str], options: RunOptions) -> list[Task]:
    """Return what a command is to run, all of it checked.

    Of several scenarios, the books are read too: a fault in the last is known before the first has
    run.

    Raises
    ------
    InputError
        An option, a scenario or its book cannot be used, or is too old.
    """
    _check_folders(options, several=len(files) > 1)
    chosen: dict[str, Any] = {
        "book": options.book,
        "paths": options.paths,
        "seed": options.seed,
        "mode": options.mode,
    }
    tasks = _tasks([load_scenario(file, **chosen) for file in files], options)
    for task in tasks:
        _check_freshness(*task)
        if len(tasks) > 1:
            _check_tables(task.scenario)
    return tasks


def _check_folders(options: RunOptions, *, several: bool) -> None:
    """Refuse options that contradict where the runs go."""
    check_keep(options.keep)
    if options.out is None:
        return
    out, root = Path(options.out).resolve(), ROOT.resolve()
    if several and out == root:
        raise InputError(
            "holds the history of all runs",
            file=options.out,
            key="--out",
            remedy=f"name a folder in it, such as {ROOT / 'tonight'}",
        )
    if options.keep is not None and not out.is_relative_to(root):
        raise InputError(
            f"prunes runs below {ROOT}, and --out names a folder elsewhere",
            key="--keep",
            remedy='leave one of them out, or use "margin-stress history DIR --keep N"',
        )


def _tasks(scenarios: Sequence[Scenario], options: RunOptions) -> list[Task]:
    """Return scenarios with their options: several in one folder get a folder each, by name."""
    if options.out is None or len(scenarios) == 1:
        return [Task(scenario, options) for scenario in scenarios]
    names = [scenario.name for scenario in scenarios]
    folders = [
        f"{name}-{names[:place].count(name) + 1}" if name in names[:place] else name
        for place, name in enumerate(names)
    ]
    return [
        Task(scenario, replace(options, out=str(Path(options.out) / folder)))
        for scenario, folder in zip(scenarios, folders, strict=True)
    ]


def _check_freshness(scenario: Scenario, options: RunOptions) -> None:
    """Refuse stale input, but not of a run that goes on: it was judged when it began."""
    folder = RunFolder.for_run(scenario, options.out, resume=options.resume)
    if not (options.resume and is_ledger(folder.path)):
        check_freshness(scenario)


def _check_tables(scenario: Scenario) -> None:
    """Refuse a book that its scenario cannot run, and say whose it is."""
    try:
        load_book(scenario)
        build_setting(scenario)
    except InputError as error:
        place = f"{scenario.source}: {error.file}" if error.file else scenario.source
        raise type(error)(error.rule, file=place, key=error.key, remedy=error.remedy) from None


def run_pack(
    tasks: Sequence[Task],
    options: RunOptions,
    run_one: RunOne,
    told: Callable[[Outcome], None],
) -> Pack:
    """Run scenarios one after the other and write the page over all of them.

    What goes wrong in one is its row. An interruption ends the pack, and the page says what was not
    begun.

    Parameters
    ----------
    tasks
        As ``load_tasks`` returns them.
    options
        Of the command.
    run_one
        Runs a scenario; returns its summary with the path of its ``report``.
    told
        Called with each outcome as soon as it is known.

    Raises
    ------
    InputError
        If the page's place is taken, before anything is run.
    """
    page = pack_page(ROOT, options.out)
    check_page(page)
    outcomes: list[Outcome] = []
    for task in tasks:
        outcomes.append(_outcome(task, run_one))
        told(outcomes[-1])
        if outcomes[-1].member.exit_code == INTERRUPTED:
            break
    outcomes += [_not_begun(task.scenario) for task in tasks[len(outcomes) :]]
    members = [outcome.member for outcome in outcomes]
    return Pack(tuple(outcomes), write_pack(page, members, book=options.book))


def _outcome(task: Task, run_one: RunOne) -> Outcome:
    """Run a scenario and return what became of it."""
    try:
        facts = run_one(*task)
    except KeyboardInterrupt:
        return _failed(task.scenario, Interrupted(f"{task.scenario.name} was interrupted"))
    except Exception as error:
        return _failed(task.scenario, error)
    member = _member(task.scenario, facts["exit_code"])
    return Outcome(replace(member, run=read_run(Path(facts["report"]).parent)), facts)


def _failed(scenario: Scenario, error: Exception) -> Outcome:
    said = str(error) if isinstance(error, StressError) else f"a bug: {error!r}"
    member = replace(_member(scenario, exit_code_of(error)), error=said)
    return Outcome(member, _facts(member), error)


def _not_begun(scenario: Scenario) -> Outcome:
    member = replace(_member(scenario, None), error="not begun: the run was interrupted before")
    return Outcome(member, _facts(member))


def _member(scenario: Scenario, exit_code: int | None) -> Member:
    return Member(scenario.name, str(scenario.source or ""), exit_code)


def _facts(member: Member) -> dict[str, Any]:
    code = INTERRUPTED if member.exit_code is None else member.exit_code
    return {
        "name": member.scenario,
        "file": member.file,
        "exit_code": code,
        "error": member.error,
    }
