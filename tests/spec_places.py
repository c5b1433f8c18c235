"""Every place of a spec, and anything that may stand there instead."""

from typing import Any

from hypothesis import strategies as st

from polar.spec import ExperimentSpec, StudySpec

MODELS = ["beta_vae", "ivae", "fixed_variance_vae", "lv_ae", "l2_ae", "ae"]
DATASETS = ["digits", "smallnorb", "sprites"]
NAMES = [
    "x",
    "name",
    "beta_vae",
    "digits",
    "gaussian",
    "model.beta",
    "log_uniform",
    "\0",
    "\ud800",
]

#: Anything that JSON, YAML or Python can put in the place of a value.
anything = st.sampled_from(
    [float("nan"), float("inf"), 1e300, 10**400, -(10**400), "x" * 200, [-1] * 2000,
     {1: 2}, b"x", object, (), [[]], {"name": "x"}, {"name": ["x"]}]
) | st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.integers() | st.floats()
    | st.text(max_size=8) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def places_of(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    """The path of every field of a spec."""
    found: list[tuple[str, ...]] = []
    waiting: list[tuple[tuple[str, ...], dict[str, Any]]] = [((), schema)]
    while waiting:
        path, place = waiting.pop()
        for part in [place, *place.get("anyOf", []), *place.get("oneOf", [])]:
            name = part.get("$ref", "").rpartition("/")[2]
            for field, inner in schema["$defs"].get(name, part).get("properties", {}).items():
                found.append((*path, field))
                waiting.append(((*path, field), inner))
    return list(dict.fromkeys(found))


def put(spec: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """The spec with this value at a place; parents that are missing are made."""
    key, *rest = path
    return {**spec, key: put(spec.get(key, {}), tuple(rest), value) if rest else value}


@st.composite
def specs_with_one_wrong_value(draw: st.DrawFn, of_study: bool) -> dict[str, Any]:
    """A valid spec with anything at one of its places."""
    kind = StudySpec if of_study else ExperimentSpec
    name, dataset = draw(st.sampled_from(MODELS)), draw(st.sampled_from(DATASETS))
    spec: dict[str, Any] = {"dataset": {"name": dataset}, "model": {"name": name}}
    if of_study:
        spec = {"base": spec, "search": {"model.latent_dim": {"integer": [2, 8]}}}
    place = draw(st.sampled_from(places_of(kind.model_json_schema())))
    return put(spec, place, draw(anything))
