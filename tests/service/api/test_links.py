"""The addresses of other servers to which answers lead."""

from uuid import uuid4

from service.api import links
from service.settings import Settings
from service.storage.tables import Tracking


def test_the_address_of_a_thousand_runs_in_mlflow_is_one_that_can_be_opened(
    settings: Settings,
) -> None:
    tracked = [
        Tracking(run_id=uuid4(), mlflow_experiment_id="1", mlflow_run_id=uuid4().hex)
        for _ in range(1000)
    ]

    address = links.of_experiment(settings, uuid4(), tracked)["mlflow"]

    assert isinstance(address, str)
    assert len(address) < 8000
    assert tracked[0].mlflow_run_id in address
    assert tracked[-1].mlflow_run_id not in address
