"""
Goals, reached or not.
"""

from __future__ import annotations


def goalText(value: float, goal: float) -> str:
    """Whether C{value} reaches C{goal}, and how far."""
    return f"reached, {value / goal:.2f} times" if value >= goal else f"not reached, {value / goal:.2f} of it"
