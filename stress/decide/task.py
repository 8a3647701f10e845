"""What every question is asked of: the scenario, its book, the devices and the time there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax

from stress.book.book import Book
from stress.book.setting import Setting
from stress.scenario.appetite import Appetite
from stress.scenario.schema import Scenario

__all__ = ["Budget", "Task"]


@dataclass
class Budget:
    """Wall time for the questions that need cascades, which share it.

    Attributes
    ----------
    seconds
        In all.
    """

    seconds: float
    _start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(self.seconds - (time.monotonic() - self._start), 0.0)


@dataclass(frozen=True)
class Task:
    """A scenario whose limits are asked for.

    Attributes
    ----------
    scenario
        Loaded and complete; ``appetite`` is its table.
    setting, book
        What it says, as arrays; ``stress.runner.prepare.prepare`` takes the book.
    devices
        That are used, of one kind.
    budget
        Time for the questions that need cascades.
    say
        Told what is being worked on, one short line each.
    kept
        By name, what one question has made and another one uses, such as compiled kernels.
    """

    scenario: Scenario
    appetite: Appetite
    setting: Setting
    book: Book
    devices: tuple[jax.Device, ...]
    budget: Budget
    say: Callable[[str], None] = print
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
