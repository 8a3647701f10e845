"""What a user can ask of ``margin-stress run`` besides the scenarios."""

from __future__ import annotations

from dataclasses import dataclass

from stress.types import Mode, ReportFormat

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """The options of a run, as the command line has them.

    Attributes
    ----------
    out
        The run folder; a dated one under ``results/`` without it.
    book
        Folder of a book that is used instead of the scenario's own.
    paths, seed, mode
        Used instead of what the scenario says.
    device
        ``"cpu"``, ``"gpu"``, or None for JAX's own choice.
    calibration_draws
        Draws of the market's parameters that are run besides.
    formats
        In which the report is written.
    resume
        Whether to go on with the newest unfinished run of the scenario, or the one in ``out``.
    keep
        As many runs of the scenario stay under ``results/``; None removes nothing.
    workers
        Processes to simulate on, on this machine; None simulates in this one.
    cluster
        Address of a Dask scheduler whose workers simulate.
    quiet
        No progress and no warnings on stderr.
    """

    out: str | None = None
    book: str | None = None
    paths: int | None = None
    seed: int | None = None
    mode: Mode | None = None
    device: str | None = None
    calibration_draws: int = 0
    formats: tuple[ReportFormat, ...] = ("html",)
    resume: bool = False
    keep: int | None = None
    workers: int | None = None
    cluster: str | None = None
    quiet: bool = False
