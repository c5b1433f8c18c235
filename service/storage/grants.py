"""What programs may do with our tables: rights of the roles that own nothing.

`polar_app` may change every row of every table. An agent may do what this module says, and nothing
with a table that it does not name.
"""

from typing import Any, Final

from psycopg import Connection

from service.storage.roles import Role

_ALL: Final = "select, insert, update, delete"
_BOTH: Final = f"{Role.APP}, {Role.AGENT}"

#: What changes while a run is worked on. What it is, its spec, its seed and its addresses, stays
#: as it was submitted, and who may change only some columns of a table cannot lock it as a whole.
_WORK: Final = (
    "state, status_reason, status_message, attempt, losses, owner, lease_until, job_id, started, "
    "progress, checkpoint, checkpoint_step, result, started_at, finished_at"
)

#: What agents do with each table of the schema `app`; an empty text where they have no business.
OF_AGENTS: Final = {
    "agents": "select, insert, update",
    "runs": f"select, update ({_WORK})",
    "transitions": "select, insert",
    "metrics": "select, insert",
    "evaluations": "select, insert",
    "artifacts": _ALL,
    "findings": "select, insert, update",
    "tracking": "select",
    "experiments": "",
    "experiment_runs": "",
    "studies": "",
    "trials": "",
    "study_tracking": "",
    "trial_tracking": "",
    "nested_runs": "",
    "tracking_failures": "",
    "idempotency_keys": "",
    "deletions": "select, update",
    "tokens": "",
    "webhooks": "",
    "webhook_deliveries": "",
}

_STATEMENTS: Final = (
    f"revoke all on all tables in schema app, queue from {_BOTH}",
    f"grant usage on schema app, queue to {_BOTH}",
    f"grant {_ALL} on all tables in schema app to {Role.APP}",
    f"revoke insert, update, delete on app.alembic_version from {Role.APP}",
    f"grant select on app.alembic_version to {Role.AGENT}",
    *(
        f"grant {rights} on app.{table} to {Role.AGENT}"
        for table, rights in OF_AGENTS.items()
        if rights
    ),
    f"grant {_ALL} on all tables in schema queue to {_BOTH}",
    f"grant usage on all sequences in schema queue to {_BOTH}",
)


def give(connection: Connection[Any]) -> None:
    """Give all rights on the tables that are there, as their owner; take what was given before.

    A server without these roles, on which all programs share one, stays as it is.
    """
    roles = [Role.APP, Role.AGENT]
    query = "select count(*) from pg_roles where rolname = any(%s)"
    if connection.execute(query, [roles]).fetchone() != (len(roles),):
        return
    with connection.transaction():  # so that nobody is without rights in between
        for statement in _STATEMENTS:
            connection.execute(statement)
