"""Events that the database refuses in large transactions are stored in smaller ones."""

from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.processes import Stage
    from tests.workers.conftest import SpecFor

#: Most steps that the database stores in a transaction; a second of training has five times more.
MOST = 5
#: As a database does that is too slow for more: it cancels the statement.
CANCEL_MORE = f"""
create function app.cancel_more() returns trigger language plpgsql as $$
begin
    if (
        select count(distinct step) from app.metrics
        where run_id = new.run_id and xmin = pg_current_xact_id()::xid
    ) > {MOST} then
        raise 'canceling statement due to statement timeout' using errcode = 'query_canceled';
    end if;
    return null;
end $$
"""
FOR_EACH_ROW = (
    "create trigger cancel_more after insert on app.metrics"
    " for each row execute function app.cancel_more()"
)


async def test_a_batch_that_the_database_refuses_is_stored_in_smaller_ones(
    stage: "Stage", spec_of: "SpecFor", database_url: str
) -> None:
    with psycopg.connect(database_url) as owner:
        owner.execute(CANCEL_MORE)
        owner.execute(FOR_EACH_ROW)
    run_id = await stage.submit(spec_of(steps=100, checkpoint_every=1000))
    agent = stage.start_agent()

    run = await stage.end_of(run_id)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1), stage.log_of(agent)
    metrics = await stage.metrics_of(run_id)
    losses = {step: metric for (key, step), metric in metrics.items() if key == "train/loss"}
    assert {step: metric.value for step, metric in losses.items()} == {
        step: 1 / step for step in range(1, 101)
    }
    together = Counter(metric.at for metric in losses.values())
    assert max(together.values()) <= MOST
    assert "QueryCanceled" in stage.log_of(agent)
