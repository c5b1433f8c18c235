"""Stored JSON of every form; the files were stored by the versions that wrote these forms."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import text

from polar.records.events import Evaluation, Progress, Result, Started
from polar.records.latents import Label
from polar.records.ranges import Outcome, StudyRange
from polar.records.trials import Measured
from polar.spec import ExperimentSpec, StudySpec
from service.storage import forms, runs, studies
from service.storage.database import Database
from service.storage.errors import EarlierVersion
from service.storage.forms import Form, Unreadable

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Worker

STORED = Path(__file__).with_name("stored")
FORMS: dict[str, tuple[Form, type[BaseModel]]] = {
    "experiment_spec": (forms.EXPERIMENT_SPEC, ExperimentSpec),
    "study_spec": (forms.STUDY_SPEC, StudySpec),
    "started": (forms.STARTED, Started),
    "progress": (forms.PROGRESS, Progress),
    "evaluation": (forms.EVALUATION, Evaluation),
    "result": (forms.RESULT, Result),
    "measured": (forms.MEASURED, Measured),
    "range": (forms.RANGE, StudyRange),
}


def stored(name: str) -> Any:  # noqa: ANN401
    return json.loads((STORED / f"{name}.json").read_text())


#: Each file with its form and its model.
READ = [
    (path, form, kind)
    for name, (form, kind) in FORMS.items()
    for path in sorted(STORED.glob(f"{name}.*.json"))
]


#: Fields that have another name by now, or whose meaning has changed; tests below say which.
REPLACED = {
    *("loss_nats", "kl_nats"),
    *("no_reconstruction_gain", "converged", "labels_changed"),
    *("evaluations", "tau", "tau_rule"),
    "observations",
    "form",
}


def has_all(new: object, old: object) -> bool:
    """Whether everything that was stored is still there, with its value."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(
            name in REPLACED or (name in new and has_all(new[name], old[name])) for name in old
        )
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(has_all, new, old))
    return new == old


@pytest.mark.parametrize(("path", "form", "kind"), READ, ids=[path.stem for path, *_ in READ])
def test_what_earlier_versions_stored_is_read(
    path: Path, form: Form, kind: type[BaseModel]
) -> None:
    old = json.loads(path.read_text())

    read = kind.model_validate(form.newest(old)).model_dump(mode="json")

    assert has_all(read, old)


def test_every_form_has_a_file_of_each_number_but_the_newest() -> None:
    wanted = {
        f"{name}.{number}.json"
        for name, (form, _) in FORMS.items()
        for number in range(1, len(form.upgrades) + 1)
    }

    assert wanted <= {path.name for path in STORED.iterdir()}


def test_losses_get_the_names_that_they_have_for_all_models() -> None:
    old = stored("progress.1")

    progress = Progress.model_validate(forms.PROGRESS.newest(old))

    assert (progress.loss, progress.penalty) == (old["loss_nats"], old["kl_nats"])


def test_latents_were_judged_by_the_entropy_of_their_mean() -> None:
    old = stored("evaluation.1")

    evaluation = Evaluation.model_validate(forms.EVALUATION.newest(old))

    assert [latent.judged_entropy_nats for latent in evaluation.latents] == [
        latent["entropy_nats"] for latent in old["latents"]
    ]


def test_a_result_without_a_summary_says_what_it_knows_and_claims_nothing_else() -> None:
    result = Result.model_validate(forms.RESULT.newest(stored("result.1")))

    actives = sum(latent.label is Label.ACTIVE for latent in result.final.latents)
    assert result.summary is not None
    assert result.summary.n_active == {"entropy": actives}
    assert result.summary.attempted_actives is None
    assert result.summary.scalars() == {"criteria/n_active_entropy": actives}


def test_the_regime_of_an_earlier_verdict_is_that_of_the_paper() -> None:
    old = stored("evaluation.2")["verdict"]

    verdict = Evaluation.model_validate(forms.EVALUATION.newest(stored("evaluation.2"))).verdict

    assert verdict.regime == verdict.paper_regime == old["regime"]
    assert (verdict.explained, verdict.tau_nats) == (old["explained"], old["tau_nats"])
    assert verdict.flaws == ()
    assert (verdict.tau_std, verdict.n_idle, verdict.explains_nothing) == (None, None, None)


@pytest.mark.parametrize(("converged", "settled"), [(True, None), (False, False)])
def test_only_a_training_that_had_not_converged_is_known_not_to_have_settled(
    converged: bool, settled: bool | None
) -> None:
    old = {**stored("result.2"), "converged": converged}

    result = Result.model_validate(forms.RESULT.newest(old))

    assert result.settled is settled
    assert (result.rise_of_explained, result.labels_changed, result.held_out) == (None, None, None)
    assert result.largest_move_nats == old["largest_move_nats"]


@pytest.mark.parametrize(
    ("model", "ruler"),
    [
        ({"name": "beta_vae"}, "absolute"),
        ({"name": "lv_ae", "lambda": 1.0}, "absolute"),
        ({"name": "ivae", "u": ["digit"]}, "scaled"),
    ],
    ids=["beta_vae", "lv_ae", "ivae"],
)
def test_a_spec_of_nats_means_what_it_meant(model: dict[str, Any], ruler: str) -> None:
    old = {**stored("experiment_spec.1"), "model": model}

    spec = forms.experiment_spec(forms.EXPERIMENT_SPEC.newest(old))

    assert (spec.diagnostics.ruler, spec.diagnostics.tau_std) == (ruler, 0.134)
    assert spec.training.held_out == 0
    assert spec.diagnostics.images == old["diagnostics"]["images"]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("tau", 0.3, "/diagnostics/tau"),
        ("sigma", 0.4, "/diagnostics/tau"),  # 0.25 nats are another standard deviation there
        ("tau_rule", "gap", "/diagnostics/tau_rule"),
    ],
)
def test_a_threshold_that_no_field_can_say_any_more_is_refused(
    field: str, value: float | str, fault: str
) -> None:
    old = stored("experiment_spec.1")
    old["diagnostics"][field] = value

    with pytest.raises(EarlierVersion, match=f"of an earlier version.*{fault}"):
        forms.experiment_spec(forms.EXPERIMENT_SPEC.newest(old))


def test_the_base_of_a_study_is_upgraded_as_an_experiment_is() -> None:
    old = stored("study_spec.1")

    study = forms.study_spec(forms.STUDY_SPEC.newest(old))

    assert study.base == forms.experiment_spec(forms.EXPERIMENT_SPEC.newest(old["base"]))


def test_means_stand_in_for_the_measures_of_each_seed() -> None:
    old = stored("measured.1")

    measured = forms.MEASURED.newest(old)

    (of_the_seed,) = measured["of_seeds"]
    assert of_the_seed["polarisation"] == old["polarisation"]
    assert (measured["settled"], measured["observations"]) == ([None], [])


def test_a_mean_that_comes_back_as_a_whole_number_is_a_mean() -> None:
    # Postgres gives 1e38 back without a point, and of_seeds went without it.
    old = {**stored("measured.1"), "reconstruction": 10**38}

    measured = Measured.model_validate(forms.MEASURED.newest(old))

    assert measured.of_seeds[0].reconstruction == measured.reconstruction == 1e38


def test_a_study_of_several_fields_has_the_fields_of_a_range_and_claims_nothing() -> None:
    old = stored("range.1.several_fields")

    found = StudyRange.model_validate(forms.RANGE.newest(old))

    assert found.outcome is Outcome.NOT_ONE_FIELD
    assert (found.intervals, found.envelope, found.weights, found.trainings) == ((), None, 0, 0)
    assert list(found.remarks) == old["remarks"]


def test_an_earlier_range_is_of_the_paper_s_band_and_says_whose_rules_it_followed() -> None:
    old = stored("range.2")

    found = StudyRange.model_validate(forms.RANGE.newest(old))

    assert (found.of, found.by_steps, found.settled) == ("polarised", (), None)
    assert found.headline.startswith(
        "By the rules of an earlier version: polarised from 0.3..0.32"
    )
    assert found.envelope is not None
    assert found.envelope.words() == "0.3..0.32 to 5..5.4"
    assert found.intervals[0].right.high == old["intervals"][0]["right"]["high"]


@given(
    content=st.dictionaries(st.text().filter(lambda key: key != forms.NUMBER), st.integers()),
    form=st.sampled_from([form for form, _ in FORMS.values()]),
)
def test_what_is_stored_now_is_read_unchanged(content: dict[str, Any], form: Form) -> None:
    assert form.newest(form.numbered(content)) == content


@given(content=st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
@pytest.mark.parametrize("form", [form for form, _ in FORMS.values()], ids=lambda form: form.name)
def test_what_is_of_no_form_is_left_as_it_is(content: dict[str, Any], form: Form) -> None:
    content.pop(forms.NUMBER, None)

    form.newest(content)


def test_what_a_later_version_stored_is_left_as_it_is() -> None:
    assert forms.PROGRESS.newest({"form": 99, "kl_nats": 1.0}) == {"kl_nats": 1.0}


@pytest.mark.parametrize("kind", [kind for _, kind in FORMS.values()], ids=FORMS)
def test_no_content_has_a_field_with_the_name_of_the_number(kind: type[BaseModel]) -> None:
    assert forms.NUMBER not in kind.model_fields


async def test_a_row_that_cannot_be_read_is_written_back_as_it_was(
    database: Database, study_of: "StudyMaker"
) -> None:
    unreadable = {"form": 1, "outcome": "found", "note": "from far away"}
    async with database.transaction() as session:
        study = await studies.create(session, StudySpec.model_validate(study_of()), "d" * 64)
    async with database.transaction() as session:
        await session.execute(
            text("update app.studies set range = :new"), {"new": json.dumps(unreadable)}
        )
    async with database.transaction() as session:
        study = await studies.locked(session, study.id)
        read = study.range
        study.range = None
        await session.flush()
        study.range = read
    async with database.transaction() as session:
        stored = await session.scalar(text("select range from app.studies"))

    assert isinstance(read, Unreadable)
    assert read.fault.startswith("/of: ")
    assert stored == unreadable


async def test_rows_carry_the_number_and_readers_do_not_see_it(
    database: Database,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    run = (await submit(spec_of())).runs[0]
    await worker.claim(run.id)
    await worker.record(run.id, reports.progress(1))

    async with database.transaction() as session:
        numbers = (
            await session.execute(text("select spec -> 'form', progress -> 'form' from app.runs"))
        ).one()
        read = await runs.get(session, run.id)

    assert tuple(numbers) == (2, 2)
    assert read.progress == reports.progress(1).model_dump(mode="json")
    assert read.spec == spec_of().model_dump(mode="json")


async def test_rows_of_an_earlier_form_are_read_in_the_newest(
    database: Database, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run = (await submit(spec_of())).runs[0]

    async with database.transaction() as session:
        await session.execute(
            text("update app.runs set progress = :old"),
            {"old": json.dumps(stored("progress.1"))},
        )
    async with database.transaction() as session:
        read = await runs.get(session, run.id)

    assert Progress.model_validate(read.progress).loss == stored("progress.1")["loss_nats"]


def test_a_spec_that_is_refused_by_now_says_what_this_version_allows() -> None:
    spec = forms.EXPERIMENT_SPEC.newest(stored("experiment_spec.1"))
    spec["dataset"]["images"] = 2  # fewer than 5 were allowed once

    with pytest.raises(EarlierVersion, match=r"of an earlier version.*/dataset/images.*5"):
        forms.experiment_spec(spec)


def test_what_earlier_verdicts_said_of_the_range_is_left_out_of_what_a_trial_measured() -> None:
    # A search cannot use them: they went by other rules, and their steps were not stored.
    measured = Measured.model_validate(forms.MEASURED.newest(stored("measured.2")))

    assert measured.observations == ()
    assert measured.settled == (None,)
    assert [seed.reconstruction for seed in measured.of_seeds] == [measured.reconstruction]
