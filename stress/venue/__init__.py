"""The rules of a venue as interchangeable parts: one family a file, each part a pytree.

A part holds its numbers as arrays and its kind as its type, so that choosing another one compiles
another kernel and changing a number does not. ``venue.build`` makes the parts of a scenario.

* an order (``orders``) ranks a pool's positions;
* an amount (``amounts``) says how much of them is closed;
* an impact law (``impact``) turns net forced flow into a move of the mark;
* a backstop (``backstop``) deals with what the insurance fund does not pay;
* a decision rule (``decision``) says who judges pools, and on which marks.
"""

from __future__ import annotations
