"""/schema, /schema/study, /models, /datasets: what a spec can ask for."""

from collections.abc import Sequence

from fastapi import APIRouter

from polar.spec import DATASETS, MODELS
from polar.spec.own_images import AddedImages
from service.api.catalogue.schemas import DatasetView, Holder, ModelView
from service.api.dependencies import Reading
from service.api.door import Door
from service.api.experiments.schemas import NewExperiment
from service.api.problems import refusals
from service.api.schemas import JsonSchema
from service.api.studies.schemas import NewStudy
from service.storage import agents
from service.storage.tables import Agent

router = APIRouter(route_class=Door, tags=["catalogue"])


@router.get("/schema")
async def get_schema() -> JsonSchema:
    """Show the JSON schema of an experiment's spec, with the tags and the note beside it."""
    return NewExperiment.model_json_schema()


@router.get("/schema/study")
async def get_schema_of_studies() -> JsonSchema:
    """Show the JSON schema of a study's spec, with the tags and the note beside it."""
    return NewStudy.model_json_schema()


@router.get("/models")
async def list_models() -> list[ModelView]:
    """List the kinds of models, with the range and the default of each field."""
    schemas = {name: kind.model_json_schema() for name, kind in MODELS.items()}
    return [
        ModelView(
            name=name,
            description=schema["description"],
            weight_name=MODELS[name].weight_name,
            fields=schema["properties"],
        )
        for name, schema in schemas.items()
    ]


@router.get("/datasets", responses=refusals(503))
async def list_datasets(session: Reading) -> list[DatasetView]:
    """List the datasets that a spec can name, and which agents have them."""
    present = await agents.seen_lately(session)
    offers = {(name, digest) for agent in present for name, digest in agent.datasets.items()}
    absent = {(name, None) for name in DATASETS.keys() - {name for name, _ in offers}}
    return [
        DatasetView(
            name=name,
            digest=digest,
            own=_known_of(name, holders),
            agents=[Holder.model_validate(agent) for agent in holders],
        )
        for name, digest in sorted(offers) + sorted(absent)
        for holders in [[agent for agent in present if _has(agent, name, digest)]]
    ]


def _has(agent: Agent, name: str, digest: str | None) -> bool:
    return digest is not None and agent.datasets.get(name) == digest


def _known_of(name: str, holders: Sequence[Agent]) -> AddedImages | None:
    """What is known of images that a user has added; None for published datasets."""
    known = (agents.images_of(agent).get(name) for agent in holders)
    return next(filter(None, known), None)
