"""What pages count of the trials of studies, which is remembered until any of them changes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from service.storage.states import TrialState

T = TypeVar("T")

TrialCounts = Mapping[TrialState, int]

#: Most studies of which is remembered what was counted.
MOST_KNOWN = 1000


class Counted(Generic[T]):
    """What was counted of the trials of studies with so many trials in each state.

    It cannot change before one of these numbers does, because no trial returns to a state that it
    had, and counting thousands of trials takes longer than all else on a page.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[UUID, frozenset[tuple[TrialState, int]]], T] = {}

    async def of(
        self,
        trials: Mapping[UUID, TrialCounts],
        count: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, T]]],
    ) -> dict[UUID, T]:
        """What is counted of each study.

        Args:
            trials: How many trials of each study are in each state.
            count: Counts each of these studies anew.
        """
        keys = {id: (id, frozenset(counts.items())) for id, counts in trials.items()}
        # taken before anything is awaited, because others may push it out meanwhile
        known = {id: self._known[key] for id, key in keys.items() if key in self._known}
        if missing := keys.keys() - known.keys():
            new = await count(list(missing))
            self._known.update({keys[id]: new[id] for id in missing})
            known |= {id: new[id] for id in missing}
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known
