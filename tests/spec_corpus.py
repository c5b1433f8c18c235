"""Specs as people write them, well and badly, in YAML and in JSON, and what is said of them."""

from typing import NamedTuple


class Example(NamedTuple):
    """A spec of an experiment, or of a study if it has a `base`."""

    yaml: str
    json: str
    #: JSON pointer of each fault -> words of its one line; none for a spec that is valid.
    faults: dict[str, str]


DIGITS = '"dataset": {"name": "digits"}'
BASE = "base: {dataset: {name: digits}, model: {}}"
JSON_BASE = f'"base": {{{DIGITS}, "model": {{}}}}'

CORPUS = [
    Example(
        "dataset: {name: digits}\nmodel: {beta: 1e-3}",
        f'{{{DIGITS}, "model": {{"beta": 1e-3}}}}',
        {},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {}\ntraining: {steps: 3e3}",
        f'{{{DIGITS}, "model": {{}}, "training": {{"steps": 3000.0}}}}',
        {},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {}\nname: yes",
        f'{{{DIGITS}, "model": {{}}, "name": "yes"}}',
        {},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {}\nname: 2026-01-01",
        f'{{{DIGITS}, "model": {{}}, "name": "2026-01-01"}}',
        {},
    ),
    Example(
        "dataset: &d {name: digits}\nmodel: {beta: &b 010}\nseeds: [*b, 0x1F]",
        f'{{{DIGITS}, "model": {{"beta": 10}}, "seeds": [10, 31]}}',
        {},
    ),
    Example(
        f"{BASE}\nsearch: {{model.beta: {{log_uniform: [1e-1, 10]}}}}",
        f'{{{JSON_BASE}, "search": {{"model.beta": {{"log_uniform": [0.1, 10]}}}}}}',
        {},
    ),
    Example("[]", "[]", {"": "this is not an object (given: []); allowed: an object with"}),
    Example("digits", '"digits"', {"": "this is not an object (given: 'digits')"}),
    Example("{}", "{}", {"/dataset": "this is missing", "/model": "this is missing"}),
    Example(
        "dataset: {name: digits}\nmodel: {beta: .nan}",
        f'{{{DIGITS}, "model": {{"beta": NaN}}}}',
        {"/model/beta": "this is not a finite number (given: nan); allowed: a number from 0"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {beta: 1e400}",
        f'{{{DIGITS}, "model": {{"beta": 1e400}}}}',
        {"/model/beta": "this is not a finite number (given: inf)"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {beta: 1_000}",
        f'{{{DIGITS}, "model": {{"beta": "1_000"}}}}',
        {"/model/beta": "this is not a number (given: '1_000'); allowed: a number from 0"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {beta: yes}",
        f'{{{DIGITS}, "model": {{"beta": "yes"}}}}',
        {"/model/beta": "this is not a number (given: 'yes')"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {latent_dim: true}",
        f'{{{DIGITS}, "model": {{"latent_dim": true}}}}',
        {"/model/latent_dim": "this is not a whole number (given: True); allowed: an integer"},
    ),
    Example(
        "dataset: {name: sprites, side: 28}\nmodel: {}",
        '{"dataset": {"name": "sprites", "side": 28}, "model": {}}',
        {"/dataset/side": "this is not one of the allowed values (given: 28); allowed: 32, 64"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {name: ivae, beta: 4}",
        f'{{{DIGITS}, "model": {{"name": "ivae", "beta": 4}}}}',
        {"/model/beta": "ivae has no such field (given: 4)"},
    ),
    Example(
        "dataset: {name: digits}\nmodel: {}\nseeds: [2026-01-01, -1, 4294967296]",
        f'{{{DIGITS}, "model": {{}}, "seeds": ["2026-01-01", -1, 4294967296]}}',
        {
            "/seeds/0": "this is not a whole number (given: '2026-01-01')",
            "/seeds/1": "this is too small (given: -1); allowed: an integer from 0 to 4294967295",
            "/seeds/2": "this is too large (given: 4294967296)",
        },
    ),
    Example(
        "dataset: {name: digits}\nmodel:\ntraining: ~",
        f'{{{DIGITS}, "model": null, "training": null}}',
        {
            "/model": "this is not an object (given: None)",
            "/training": "this is not an object (given: None)",
        },
    ),
    Example(
        f"{BASE}\nsearch: {{beta: {{log_uniform: [1, 10]}}}}",
        f'{{{JSON_BASE}, "search": {{"beta": {{"log_uniform": [1, 10]}}}}}}',
        {"/search/beta": "Did you mean 'model.beta'?"},
    ),
]  # fmt: skip

#: A key twice, which both readers refuse in words of their own.
TWICE = Example(
    "dataset: {name: digits}\nmodel: {beta: 1, beta: 2}",
    f'{{{DIGITS}, "model": {{"beta": 1, "beta": 2}}}}',
    {"/model/beta": "given more than once"},
)
