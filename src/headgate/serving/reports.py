"""How the processes of a gateway read their settings, as one state: a reading is over when every process has said how it went. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.config.reload import ReloadState


class Reports:
    """What the processes said, by place."""

    def __init__(self) -> None:
        self.state = ReloadState()
        self._said: dict[int, ReloadState] = {}
        self._heard: set[int] = set()

    def begun(self, slot: int) -> None:
        """A process was started, which reads the settings as they are now: it has nothing to say of a reading that is under way."""
        self._said.pop(slot, None)
        if self._heard:
            self._heard.add(slot)

    def said(self, slot: int, state: ReloadState, living: Iterable[int]) -> ReloadState | None:
        """A process has said how its reading went; the state of all, once all of the `living` have. The first error is theirs together."""
        self._said[slot] = state
        self._heard.add(slot)
        if not self._heard.issuperset(living):
            return None
        self._heard.clear()
        found = list(self._said.values())
        error = next((one.error for one in found if one.error is not None), None)
        changed = error is None and max(one.generation for one in found) != self.state.generation
        self.state = ReloadState(
            generation=self.state.generation + changed,
            attempts=self.state.attempts + 1,
            error=error,
            restart=tuple(dict.fromkeys(label for one in found for label in one.restart)),
        )
        return self.state
