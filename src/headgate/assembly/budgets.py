"""Budgets, put together from the settings in force."""

from __future__ import annotations

from pathlib import Path

from headgate.assembly.parts import Parts
from headgate.ledger.budgets import Budget


def budgets_of(parts: Parts) -> tuple[Budget, ...]:
    """The budgets of the settings, each under a name of its own."""
    return tuple(
        Budget(
            id=f"{one.scope}/{one.window}",
            scope=one.scope,
            limit_nanos=one.limit_nanos,
            window=one.window,
            action=one.action,
            thresholds=one.alerts,
        )
        for one in parts.settings.budgets
    )


def journal_folder(parts: Parts) -> Path:
    """Where processes note what they are spending."""
    return parts.settings.data_dir / "journal"
