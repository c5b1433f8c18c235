"""Sigma, order and tau have their defaults in `polar.spec.training`, and nowhere else."""

import ast
from pathlib import Path

from polar.spec import DiagnosticsSpec
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD

ROOT = Path(__file__).parents[3]
ROOMS = ("polar", "service", "workers")
OWN = {DEFAULT_SIGMA, DEFAULT_RENYI_ALPHA, DEFAULT_TAU_STD}
PARAMETERS = {"sigma", "alpha", "renyi_alpha", "tau_std"}


def spelled_out(path: Path) -> list[str]:
    """The parameters of functions in a module whose default is one of the three as a literal."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            pairs = [
                *zip(reversed(positional), reversed(node.args.defaults), strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            found += [
                f"{node.name}({argument.arg})"
                for argument, default in pairs
                if argument.arg in PARAMETERS
                and isinstance(default, ast.Constant)
                and default.value in OWN
            ]
    return found


def test_the_search_sees_defaults_that_are_spelled_out(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(x, sigma=0.5, *, alpha=2.0, tau_std=0.134): ...")

    assert spelled_out(tmp_path / "a.py") == ["f(sigma)", "f(tau_std)"]


def test_no_signature_spells_a_default_out() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]

    assert len(modules) > 200
    assert {str(path): spelled_out(path) for path in modules if spelled_out(path)} == {}


def test_a_spec_has_the_defaults() -> None:
    diagnostics = DiagnosticsSpec()

    assert diagnostics.sigma == DEFAULT_SIGMA == 0.5
    assert diagnostics.renyi_alpha == DEFAULT_RENYI_ALPHA == 1.01
    assert diagnostics.tau_std == DEFAULT_TAU_STD == 0.134
    assert diagnostics.ruler == "scaled"
