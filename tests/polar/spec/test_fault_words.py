"""Every fault of a spec is said in our words, with what is allowed, and a hint that is right."""

import re
from typing import Any, get_args

import pytest
from hypothesis import example, given
from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from polar.spec import ExperimentSpec, StudySpec
from polar.spec.faults import Fault, find_faults
from tests.spec_places import specs_with_one_wrong_value

BASE: dict[str, Any] = {"dataset": {"name": "digits"}, "model": {}}
STUDY: dict[str, Any] = {"base": BASE, "search": {"model.beta": {"log_uniform": [0.1, 1]}}}

#: How pydantic's own sentences begin, and what stands in them.
OF_PYDANTIC = re.compile(
    r"Input (should|tag)|Extra inputs|Field required|Unable to|unable to parse|should have|"
    r"valid (integer|number|string|dictionary|list|tuple)|not permitted"
)

#: Kinds of faults without a value.
MISSING = ("missing", "union_tag_not_found", "more")


def faults_of(content: object, kind: Any = ExperimentSpec) -> list[Fault]:  # noqa: ANN401
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(content)
    faults: list[Fault] = kind.faults_of(caught.value)
    return faults


@pytest.mark.parametrize(
    ("part", "given", "pointer", "suggestion"),
    [
        ("model", {"name": "ivae", "beta": 1}, "/model/beta", "alpha"),
        ("model", {"name": "lv_ae", "gamma": 1}, "/model/gamma", "lambda"),
        ("model", {"name": "ae", "beta": 1}, "/model/beta", None),
        ("model", {"name": "Beta-VAE"}, "/model/name", "beta_vae"),
        ("model", "betavae", "/model", "{name: beta_vae}"),
        ("model", {"steps": 3}, "/model/steps", "/training/steps"),
        ("model", {"likelihood": "gauss"}, "/model/likelihood", "{name: gaussian}"),
        ("dataset", {"name": "MNIST"}, "/dataset/name", "mnist"),
        ("dataset", "digits", "/dataset", "{name: digits}"),
        ("dataset", {"name": "digits", "split": "all"}, "/dataset/split", None),
        ("steps", 3, "/steps", "/training/steps"),
        ("device", "Cuda", "/device", "cuda"),
        ("diagnostics", {"ruler": "absolut"}, "/diagnostics/ruler", "absolute"),
        ("diagnostics", {"tau": 0.25}, "/diagnostics/tau", "tau_std"),
        ("downstream", {"factors": ["digits"]}, "/downstream/factors/0", "digit"),
        ("downstream", {"splitz": 3}, "/downstream/splitz", "splits"),
    ],
)
def test_the_hint_names_what_was_meant_and_never_what_was_given(
    part: str, given: object, pointer: str, suggestion: str | None
) -> None:
    (fault,) = faults_of({**BASE, part: given})

    assert (fault.pointer, fault.suggestion) == (pointer, suggestion)


@pytest.mark.parametrize(
    ("part", "given", "pointer", "suggestion"),
    [
        ("base", {**BASE, "model": {"name": "ivae", "beta": 1}}, "/base/model/beta", "alpha"),
        ("base", {**BASE, "steps": 3}, "/base/steps", "/base/training/steps"),
        ("dataset", {"name": "digits"}, "/dataset", "/base/dataset"),
        ("hours", 2, "/hours", "/budget/hours"),
        ("sampler", "TPE", "/sampler", "tpe"),
        ("pruner", "colapse", "/pruner/name", "collapse"),
        ("objectives", ["n_activ"], "/objectives/0/measure", "n_active"),
        ("search", {"model.beta": {"loguniform": [1, 2]}},
         "/search/model.beta/loguniform", "log_uniform"),
        ("search", {"beta": {"log_uniform": [1, 2]}}, "/search/beta", "model.beta"),
        ("search", {"model.alpha": {"log_uniform": [1, 2]}}, "/search/model.alpha", "model.beta"),
        ("search", {"training.step": {"integer": [1, 2]}},
         "/search/training.step", "training.steps"),
    ],
)  # fmt: skip
def test_the_hints_of_a_study_point_into_the_study(
    part: str, given: object, pointer: str, suggestion: str
) -> None:
    found = {fault.pointer: fault for fault in faults_of({**STUDY, part: given}, StudySpec)}

    assert found[pointer].suggestion == suggestion


def test_a_field_that_only_another_kind_has_is_said_to_be_missing_in_this_one() -> None:
    (fault,) = faults_of({**BASE, "model": {"name": "ivae", "beta": 1}})

    assert fault.message == "ivae has no such field"
    assert fault.allowed == "name, latent_dim, widths, likelihood, alpha, u, prior_mean"


@pytest.mark.parametrize("side", [16, "64", None])
def test_a_number_of_a_closed_choice_is_refused_with_the_choice(side: object) -> None:
    # The numbers were joined as if they were names: a TypeError, and 500.
    (fault,) = faults_of({**BASE, "dataset": {"name": "sprites", "side": side}})

    assert (fault.pointer, fault.allowed) == ("/dataset/side", "32, 64")


def test_a_searched_value_of_no_kind_is_one_fault_at_its_own_place() -> None:
    # There were four, at /search/model.beta/fixed/bool and its siblings.
    search = {"model.beta": {"choices": [1, [2]]}}

    (fault,) = faults_of({**STUDY, "search": search}, StudySpec)

    assert fault.pointer == "/search/model.beta/choices/1"


@pytest.mark.parametrize("axis", [{"log_uniform": [10, 100]}, {"uniform": [10, 100]}])
def test_real_numbers_for_a_field_of_whole_ones_are_refused(axis: dict[str, Any]) -> None:
    # Its ends are whole, every draw between them is not: the study would find nothing to try.
    search = {"training.steps": axis}

    (fault,) = faults_of({**STUDY, "sampler": "tpe", "search": search}, StudySpec)

    assert fault.pointer == "/search/training.steps"
    assert "integer: [first, last]" in (fault.allowed or "")


@pytest.mark.parametrize("ends", [["0.1", "1"], [True, 2], [None, 1]])
def test_ends_of_an_axis_are_numbers_not_text_that_looks_like_them(ends: list[object]) -> None:
    search = {"model.beta": {"uniform": ends}}

    pointers = [fault.pointer for fault in faults_of({**STUDY, "search": search}, StudySpec)]

    assert pointers[0] == "/search/model.beta/uniform/0"


def test_no_kind_of_pydantics_errors_is_told_in_its_words() -> None:
    for kind in get_args(ErrorType):
        detail = {"type": kind, "loc": ("name",), "msg": "Input should be a pear", "input": 3}
        if kind not in ("value_error", "assertion_error"):  # whose words are ours
            (fault,) = find_faults([detail], ExperimentSpec.model_json_schema())
            assert "pear" not in str(fault)


@example({**BASE, "dataset": {"name": "sprites", "side": 28}})
@given(specs_with_one_wrong_value(of_study=False))
def test_whatever_is_wrong_in_an_experiment_is_said_in_our_words(spec: dict[str, Any]) -> None:
    check(spec, ExperimentSpec)


@example({**STUDY, "search": {1: 2}})  # Python's keys need not be text
@given(specs_with_one_wrong_value(of_study=True))
def test_whatever_is_wrong_in_a_study_is_said_in_our_words(spec: dict[str, Any]) -> None:
    check(spec, StudySpec)


def check(content: dict[str, Any], kind: Any) -> None:  # noqa: ANN401
    for fault in maybe_faults(content, kind):
        said = str(fault)
        assert not OF_PYDANTIC.search(said), said
        assert fault.allowed or fault.type in ("value_error", "nothing_swept", "more"), said
        assert fault.value is not None or fault.type in MISSING, said
        assert fault.suggestion != fault.pointer, said
        assert "\n" not in fault.message


def maybe_faults(content: dict[str, Any], kind: Any) -> list[Fault]:  # noqa: ANN401
    try:
        kind.model_validate(content)
    except ValidationError as error:
        return list(kind.faults_of(error))
    return []
