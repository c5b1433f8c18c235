"""`model.safetensors`: the trained model of a run, to take home.

The file holds the parameters and buffers of the model by name, and in its metadata one
entry, `polar`, with what is needed to build the model again.

Format: https://huggingface.co/docs/safetensors
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from polar.errors import InvalidInput
from polar.experiment.result_file import artifact
from polar.experiment.trained_model import TrainedModel, network_of
from polar.files import written_aside
from polar.records.events import MODEL_FILE, ArtifactSaved
from polar.records.record import Record
from polar.spec import SCIENCE_VERSION, ExperimentSpec, OwnModelSpec
from polar.spec.own_models import code_here

#: The name of the one entry; a second would be written in an order that changes.
ENTRY = "polar"


class Provenance(Record):
    """Where a model comes from."""

    science_version: int
    #: SHA-256 (hex) of the dataset that it was trained on.
    dataset_digest: str
    #: The spec of the run, with one seed.
    spec: ExperimentSpec


def save_model(
    weights: Mapping[str, Tensor], spec: ExperimentSpec, dataset_digest: str, folder: Path
) -> ArtifactSaved:
    """Write the model of a run into its folder, in place of an earlier one.

    Args:
        weights: Parameters and buffers by name, on any device.
        spec: The spec of the run, with one seed.
        dataset_digest: Digest of the dataset that it was trained on.
        folder: The folder of the run.
    """
    provenance = Provenance(
        science_version=SCIENCE_VERSION, dataset_digest=dataset_digest, spec=spec
    )
    # Clones, because the format refuses tensors that share memory, such as tied weights.
    tensors = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()
    }
    with written_aside(folder / MODEL_FILE, is_durable=True) as aside:
        # written here, because the errors of `save_file` do not say that the disk is the reason
        aside.write_bytes(save(tensors, metadata={ENTRY: provenance.model_dump_json()}))
    return artifact(folder, folder / MODEL_FILE)


def load(source: Path | str) -> TrainedModel:
    """Load the trained model of a run, on the CPU.

    Args:
        source: The folder of a run, or its `model.safetensors` wherever it was copied to.

    Raises:
        InvalidInput: there is no such file, it cannot be read, it is not a model that this
            version can build, or it is of a class of a user's that may not be imported here.

    Warns:
        UserWarning: the code of the user's class has changed since the model was trained.
    """
    path = Path(source)
    path = path / MODEL_FILE if path.is_dir() else path
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {})[ENTRY]
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        provenance = Provenance.model_validate_json(entry)
        network = network_of(_of_any_code(provenance.spec), weights)
    except InvalidInput:  # of a model of a user's own, which may not be imported
        raise
    except FileNotFoundError:
        raise InvalidInput(
            f"{path} is not there; allowed: the folder of a run that has succeeded, or its "
            f"{MODEL_FILE}"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} is not a model of this version: {error}") from error
    network.eval()
    return TrainedModel(
        provenance.spec, provenance.dataset_digest, provenance.science_version, network
    )


def _of_any_code(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec, for code that may have changed since, as long as the weights still fit it."""
    model = spec.model
    if not isinstance(model, OwnModelSpec) or model.code is None:
        return spec
    if code_here(model.kind) not in (None, model.code):
        message = f"the code of {model.kind} has changed since this model was trained"
        warnings.warn(message, stacklevel=3)
    return spec.model_copy(update={"model": model.model_copy(update={"code": None})})
