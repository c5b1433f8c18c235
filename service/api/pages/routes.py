"""The pages: what a researcher looks at in a browser."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Progress
from service.api.dependencies import Reading, Service
from service.api.experiments import answers as experiment_answers
from service.api.ids import Digits, ExperimentId, RunId, StudyId
from service.api.pages import lists
from service.api.pages.comparing import MOST_RUNS, compare
from service.api.pages.door import PageDoor
from service.api.pages.filtering import NO_FILTER, RunFilter, StudyFilter
from service.api.pages.overlaying import MOST_STUDIES, overlay
from service.api.pages.refreshing import Refresh
from service.api.pages.rendering import page
from service.api.pages.runs import run_page
from service.api.pages.studies import study_page
from service.api.paging import Position, cut
from service.api.runs import answers as run_answers
from service.api.stored import Reader
from service.api.studies import answers as study_answers
from service.storage import agents, experiments, gauges, runs, showing, studies
from service.storage.ids import id_of
from service.storage.pages import in_work, runs_by_state, tried_by, wanted_by
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

router = APIRouter(route_class=PageDoor, include_in_schema=False)
NOTHING_TICKED: list[str] = []


@router.get("/")
async def studies_page(position: Position, filter: StudyFilter, refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        size = lists.PAGE_SIZE
        rows = await studies.page(session, size=size + 1, after=position, wanted=filter.wanted)
        listed = await study_answers.study_page(session, *cut(rows, size))
        ids = [study.id for study in listed.studies]
        return await page(
            "studies.html",
            tab="studies",
            page=listed,
            stands=await lists.how_they_stand(session, listed.studies),
            trained=await lists.in_short(session, Study, ids),
            runs=await runs_by_state(session, ids),
            filter=filter,
            is_first=position is None,
        )

    return await refresh.page_of_list("studies", position, filter, make)


@router.get("/studies/{study_id}")
async def one_study(study_id: StudyId, service: Service, refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        study = await studies.get(session, study_id)
        shown = await study_page(session, service.settings, study)
        return await page("study.html", tab="studies", page=shown, study=shown.study)

    return await refresh.page("studies", study_id, make)


@router.get("/runs/{run_id}")
async def one_run(run_id: RunId, service: Service, refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        run = await runs.get(session, run_id)
        shown = await run_page(session, service.settings, run)
        return await page("run.html", tab="runs", page=shown, run=shown.run)

    return await refresh.page("runs", run_id, make)


@router.get("/runs")
async def runs_page(position: Position, filter: RunFilter, refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        size = lists.PAGE_SIZE
        rows = await showing.page_of_runs(
            session, size=size + 1, after=position, wanted=filter.wanted
        )
        listed = run_answers.run_page(*cut(rows, size))
        return await page(
            "runs.html",
            tab="runs",
            page=listed,
            wanted_by=await wanted_by(session, [run.id for run in listed.runs]),
            filter=filter,
            is_first=position is None,
        )

    return await refresh.page_of_list("runs", position, filter, make)


@router.get("/experiments")
async def experiments_page(position: Position, filter: RunFilter, refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        size = lists.PAGE_SIZE
        rows = await experiments.page(session, size=size + 1, after=position, wanted=filter.wanted)
        listed = await experiment_answers.experiment_page(session, *cut(rows, size))
        return await page(
            "experiments.html",
            tab="experiments",
            page=listed,
            trained=await lists.in_short(
                session, Experiment, [each.id for each in listed.experiments]
            ),
            filter=filter,
            is_first=position is None,
        )

    return await refresh.page_of_list("experiments", position, filter, make)


@router.get("/experiments/{experiment_id}")
async def one_experiment(
    experiment_id: ExperimentId, service: Service, refresh: Refresh
) -> Response:
    async def make(session: AsyncSession) -> Response:
        experiment = await experiments.get(session, experiment_id)
        shown = await experiment_answers.experiment_view(session, service.settings, experiment)
        return await page(
            "experiment.html",
            tab="experiments",
            experiment=shown,
            trained=(await lists.in_short(session, Experiment, [experiment.id]))[experiment.id],
            tried_by=await tried_by(session, [experiment.id]),
        )

    return await refresh.page("experiments", experiment_id, make)


@router.get("/compare")
async def comparison(
    session: Reading,
    run: Annotated[list[Digits], Query(max_length=MOST_RUNS)] = NOTHING_TICKED,
) -> Response:
    ids = [await id_of(session, Run, digits) for digits in run]
    return await page("compare.html", tab="runs", page=await compare(session, ids))


@router.get("/overlay")
async def overlay_page(
    session: Reading,
    study: Annotated[list[Digits], Query(max_length=MOST_STUDIES)] = NOTHING_TICKED,
) -> Response:
    ids = [await id_of(session, Study, digits) for digits in study]
    return await page("overlay.html", tab="studies", page=await overlay(session, ids))


@router.get("/agents")
async def agents_page(refresh: Refresh) -> Response:
    async def make(session: AsyncSession) -> Response:
        seen = await agents.seen_lately(session)
        reader = Reader()
        working = [
            (run, reader.read("progress", Progress, run.progress))
            for run in await in_work(session)
        ]
        return await page(
            "agents.html",
            tab="agents",
            agents=seen,
            counts=await gauges.read(session),
            working=working,
        )

    return await refresh.page_of_list("agents", None, NO_FILTER, make)
