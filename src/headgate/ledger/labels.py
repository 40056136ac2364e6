"""What a client calls its own requests: a run, an agent. Advisory: who asks is known from the key alone (faults H18, I14)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headgate.errors import UsageError
from headgate.ledger.principal import Principal

RUN_HEADER = "x-headgate-run"
AGENT_HEADER = "x-headgate-agent"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_AGENT = "agent:"


def read_label(text: str, what: str) -> str:
    """`text` as a label. Raises `UsageError` naming `what`: one that is dropped in silence would escape the budget of its run."""
    if not _LABEL.fullmatch(text):
        raise UsageError(f"{what} must be 1 to 64 letters, digits and ._:- and begin with a letter or digit", hint=f"{what}: my-run-1")
    return text


def agent_tag(agent: str) -> str:
    """The tag by which a receipt remembers the agent that asked."""
    return f"{_AGENT}{agent}"


def agent_of(tags: Iterable[str]) -> str | None:
    """The agent among the tags of a receipt."""
    return next((tag.removeprefix(_AGENT) for tag in tags if tag.startswith(_AGENT)), None)


def run_scope(principal: Principal, run: str) -> str:
    """The budget scope of the run `run` of this principal.

    A run's name is the client's own choice, so that two tenants may choose the same: each has a run of its own. The key of the settings
    has the bare name.
    """
    return f"run:{run}" if principal.tenant == "key:" else f"run:{principal.tenant}/{run}"
