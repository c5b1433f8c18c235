"""`polar up` with four agents whose children only pretend to train, and one that trains.

Those that pretend serve the queue of CUDA, so that the device of a study says which kind it gets.
Their lease is short. A child that trains needs a longer one: while torch is loaded, on a busy
machine for seconds, it does not hear that it may go on.
"""

import sys
from dataclasses import replace
from pathlib import Path

from service.embedded.postgres import Postgres
from service.embedded.stack import Addresses, Stages, stages
from service.embedded.supervised import Launch
from service.embedded.supervisor import run

PRETENDING = Path(__file__).parents[1] / "workers" / "agent_with_other_child.py"


def programs(postgres: Postgres, addresses: Addresses) -> Stages:
    *others, last = stages(postgres, addresses, ["cuda"] * 4 + ["cpu"])
    return (*others, [pretending(one) if "cuda" in one.command else one for one in last])


def pretending(agent: Launch) -> Launch:
    options = agent.command[agent.command.index("--device") :]
    environment = {**agent.environment, "POLAR_LEASE_S": "4"}
    return replace(
        agent, command=(sys.executable, str(PRETENDING), *options), environment=environment
    )


run(Path(sys.argv[1]), programs, lambda line: print(line, flush=True))  # noqa: T201
