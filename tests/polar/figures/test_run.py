import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import figure_of, save_figures
from polar.figures.files import write

Made = Callable[..., pd.DataFrame]
CRITERIA = ["entropy", "active_units", "kl"]
OF_ENTROPIES = ["sorted_entropies", "entropy_over_training", "entropy_heatmap"]


@pytest.fixture
def tables(made: Made) -> dict[str, pd.DataFrame]:
    run = made("run")
    return {
        "diagnostics": run,
        "dynamics": made("dynamics", run),
        "information": made("information", run),
        "diagram": made("diagram"),
        "usage": made("usage", run),
        "keep_curve": made("keep_curve", run),
        "held_out": pd.DataFrame({"latent": range(16), "difference_nats": 0.0}),
        "agreement": made("agreement", CRITERIA),
        "latents": made("intervals", run),
        "thresholds": made("rules"),
        "estimators": made("estimators", run),
        "downstream": made("downstream"),
        "representations": made("representations"),
        "reconstructions": made("pictures", ["image"], kind=["original", "reconstruction"]),
        "traversals": made("pictures", ["latent"], quantile=[0.1, 0.9]).assign(value=0.0),
        "prior_samples": made("pictures", ["sample"]),
    }


def written(figure: Figure, kind: str) -> bytes:
    file = BytesIO()
    write(figure, kind, file)
    return file.getvalue()


def test_a_run_gives_every_figure_that_its_tables_can(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    paths = save_figures(tables, 0.25, tmp_path / "figures")

    assert sorted((tmp_path / "figures").iterdir()) == sorted(paths)
    pictures = [path.stem for path in paths if path.suffix == ".png"]
    assert pictures == [
        *OF_ENTROPIES,
        "measures_over_training",
        "trajectories",
        "activation_order",
        "usage_against_entropy",
        "explained_by_the_most_used",
        "traversals",
        "thresholds",
        "accuracy_against_k",
        "information_split",
        "information_diagram",
        "criteria_agreement",
        "entropy_against_variance",
        "representations",
        "reconstructions",
        "prior_samples",
    ]
    assert pictures == [path.stem for path in paths if path.suffix == ".csv"]


def test_without_further_tables_there_are_the_figures_of_the_entropies(
    made: Made, tmp_path: Path
) -> None:
    table = made("run").assign(information_nats=None)

    paths = save_figures({"diagnostics": table}, 0.25, tmp_path)

    assert [path.name for path in paths] == [
        f"{name}.{ending}" for name in OF_ENTROPIES for ending in ("png", "csv")
    ]


def test_the_numbers_beside_a_picture_are_those_it_shows(made: Made, tmp_path: Path) -> None:
    table = made("run")

    save_figures({"diagnostics": table}, 0.25, tmp_path)

    numbers = pd.read_csv(tmp_path / "sorted_entropies.csv")
    final = table[table["step"] == table["step"].max()].reset_index(drop=True)
    pd.testing.assert_frame_equal(numbers, final[numbers.columns], check_exact=True)


def test_a_collapsed_run_has_its_figures_too(made: Made, tmp_path: Path) -> None:
    table = made("run", 4, 0, 0).assign(var_of_mean=0.0)
    table[["entropy_nats", "judged_entropy_nats", "information_nats"]] = 0.0
    table["label"] = "passive"
    estimators = made("estimators", made("run", 4)).assign(nats=0.0, var_of_mean=0.0)
    tables = {
        "diagnostics": table,
        "dynamics": made("dynamics", table),
        "usage": made("usage", table),
        "information": made("information", table),
        "estimators": estimators,
        "representations": made("representations", ["passive"]).assign(mean=0.0, variance=1.0),
        "latents": made("intervals", table),
        "thresholds": made("rules").assign(tau_nats=None, low_nats=None, high_nats=None),
    }

    paths = save_figures(tables, 0.25, tmp_path)

    pictures = {path.stem for path in paths}
    assert not {"measures_over_training", "activation_order"} & pictures
    assert {"trajectories", "information_split", "entropy_against_variance"} <= pictures


def test_a_measurement_of_codes_has_figures_without_a_training(made: Made, tmp_path: Path) -> None:
    run = made("run")
    latents = made("intervals", run).assign(entropy_nats=1.0)
    tables = {"latents": latents, "thresholds": made("rules")}

    paths = save_figures(tables, 0.25, tmp_path)
    more = save_figures(tables | {"agreement": made("agreement", CRITERIA)}, 0.25, tmp_path)

    assert [path.name for path in paths[::2]] == ["sorted_entropies.png", "thresholds.png"]
    assert more[4] == tmp_path / "criteria_agreement.png"


def test_the_same_tables_give_the_same_bytes_in_another_process(
    made: Made, tmp_path: Path
) -> None:
    table = made("run")
    table.to_parquet(tmp_path / "table.parquet")
    program = (
        "import sys, pathlib, pandas; from polar.figures import save_figures; "
        "folder = pathlib.Path(sys.argv[1]); "
        "tables = {'diagnostics': pandas.read_parquet(folder / 'table.parquet')}; "
        "save_figures(tables, 0.25, folder / 'there')"
    )

    here = save_figures({"diagnostics": table}, 0.25, tmp_path / "here")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)

    for path in here:
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


def test_a_figure_alone_is_the_one_that_is_saved_with_the_others(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    pictures = save_figures(tables, 0.25, tmp_path)[::2]

    for path in pictures:
        assert written(figure_of(path.stem, tables, 0.25), "png") == path.read_bytes()


def test_the_pictures_of_a_run_are_the_same_bytes_as_svg_each_time(
    tables: dict[str, pd.DataFrame],
) -> None:
    for name in ("traversals", "activation_order"):  # with images, and with lines alone
        first, again = [written(figure_of(name, tables, 0.25), "svg") for _ in range(2)]
        assert first == again
        assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"<dc:date>" not in first


def test_a_figure_alone_needs_no_other_to_be_drawn(tables: dict[str, pd.DataFrame]) -> None:
    broken = tables | {"downstream": pd.DataFrame()}

    figure_of("traversals", broken, 0.25)
    with pytest.raises(InvalidInput, match="empty table"):
        figure_of("accuracy_against_k", broken, 0.25)


def test_a_figure_that_the_tables_do_not_give_is_refused(made: Made) -> None:
    table = made("run").assign(information_nats=None)

    with pytest.raises(InvalidInput) as refused:
        figure_of("../traversals", {"diagnostics": table}, 0.25)

    assert str(refused.value) == (
        "the tables give no figure ../traversals; allowed: sorted_entropies, "
        "entropy_over_training, entropy_heatmap"
    )


def test_an_empty_table_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty table"):
        save_figures({"diagnostics": made("run").iloc[:0]}, 0.25, tmp_path)


def test_matplotlib_is_loaded_with_the_first_figure() -> None:
    program = (
        "import sys; from polar import figures; assert 'matplotlib' not in sys.modules; "
        "figures.save_figures; assert 'matplotlib.figure' in sys.modules; "
        "assert not {'matplotlib.pyplot', 'scipy.optimize'} & set(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)

    assert done.returncode == 0


def test_every_name_of_the_package_is_there() -> None:
    from polar import figures

    assert all(callable(getattr(figures, name)) for name in figures.__all__)
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        figures.pie  # noqa: B018
