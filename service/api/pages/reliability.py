"""What the pages say of the reliability of a range: how far it can be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.states import TrialState
from service.storage.study_health import Verdicts, verdicts

TrialCounts = Mapping[TrialState, int]

#: Most studies whose verdicts are remembered.
MOST_KNOWN = 1000
#: The verdicts of studies with so many trials in each state. They cannot change before one of
#: these numbers does, and counting the verdicts of thousands of trials takes the longest.
_known: dict[tuple[UUID, frozenset[tuple[TrialState, int]]], Verdicts] = {}


async def verdicts_of(
    session: AsyncSession, trials: Mapping[UUID, TrialCounts]
) -> dict[UUID, Verdicts]:
    """The trainings of each study by their verdicts.

    Args:
        session: Reads rows alone.
        trials: How many trials of each study are in each state.
    """
    keys = {id: (id, frozenset(counts.items())) for id, counts in trials.items()}
    # taken before anything is awaited, because others may push it out meanwhile
    known = {id: _known[key] for id, key in keys.items() if key in _known}
    if missing := keys.keys() - known.keys():
        counted = await verdicts(session, list(missing))
        new = {id: counted.get(id, Verdicts()) for id in missing}
        _known.update({keys[id]: of for id, of in new.items()})
        known |= new
    while len(_known) > MOST_KNOWN:
        del _known[next(iter(_known))]
    return known


def reliability(of: Verdicts, disagreeing: Sequence[float] | None) -> Iterator[str]:
    """What a researcher should know before they trust the range, in short sentences.

    Args:
        of: The verdicts of the study.
        disagreeing: Weights at which seeds gave different verdicts; None without a range.
    """
    if of.explained:
        ends = dict.fromkeys(f"{end:.2f}" for end in of.explained)
        yield f"R of clean trainings {' to '.join(ends)}"
    elif of.ended:
        yield f"no training is clean, of {of.ended:,}"
    if of.ended:
        yield f"{of.settled:,} of {of.ended:,} trainings settled"
    if of.seeds:
        yield f"{of.seeds:,} seed{'s' * (of.seeds != 1)}"
    if disagreeing:
        yield f"seeds disagree at {', '.join(f'{weight:.4g}' for weight in disagreeing)}"
    elif disagreeing is not None and of.is_repeated:
        yield "seeds agree"
