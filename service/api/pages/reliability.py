"""What the pages say of the reliability of a range: how far it can be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from service.api.pages.counting import Counted, TrialCounts
from service.storage.study_reliability import Verdicts, verdicts

_verdicts: Counted[Verdicts] = Counted()


async def verdicts_of(
    session: AsyncSession, trials: Mapping[UUID, TrialCounts]
) -> dict[UUID, Verdicts]:
    """The trainings of each study by their verdicts.

    Args:
        session: Reads rows alone.
        trials: How many trials of each study are in each state.
    """

    async def count(ids: Sequence[UUID]) -> Mapping[UUID, Verdicts]:
        counted = await verdicts(session, ids)
        return {id: counted.get(id, Verdicts()) for id in ids}

    return await _verdicts.of(trials, count)


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
        yield f"{of.seeds:,} seed{'s' * (of.seeds != 1)}"
    if disagreeing:
        yield f"seeds disagree at {', '.join(f'{weight:.4g}' for weight in disagreeing)}"
    elif disagreeing is not None and of.is_repeated:
        yield "seeds agree"
    elif disagreeing is not None and of.seeds > 1:
        yield "whether seeds agree is not known: no weight was trained with two"
