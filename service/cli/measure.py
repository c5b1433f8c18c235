"""`polar measure`: measures the latents of any model from files, in this process.

Exit codes: REFUSED when the files or options cannot be used, FAILED when the results cannot be
written.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from polar.errors import PolarError
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD, Ruler
from service.cli.output import (
    Format,
    Output,
    console_on,
    fail,
    say,
    write,
    write_json,
    write_table,
)
from service.cli.rows import Rows
from service.exit_codes import FAILED, REFUSED

if TYPE_CHECKING:
    from polar.records.measurement import Measurement

#: Measuring more numbers or more latents than these takes more than a moment.
MANY_NUMBERS, MANY_LATENTS = 500_000, 200

OptionalFile = Path | None


def measure(
    codes: Annotated[
        Path,
        typer.Argument(help="Mean representation, (n, m): .npy, .npz, .pt, .csv or .parquet."),
    ],
    variance: Annotated[
        OptionalFile, typer.Option(help="Variances of the posteriors, (n, m).")
    ] = None,
    labels: Annotated[
        OptionalFile, typer.Option(help="The class of each image, such as its digit, (n,).")
    ] = None,
    usage: Annotated[
        OptionalFile, typer.Option(help="Rise of the loss without each latent, (m,).")
    ] = None,
    prior_mean: Annotated[
        OptionalFile, typer.Option(help="Means of a conditional prior, (n, m).")
    ] = None,
    prior_variance: Annotated[
        OptionalFile, typer.Option(help="Variances of the conditional prior, (n, m).")
    ] = None,
    ruler: Annotated[
        Ruler,
        typer.Option(
            help="`scaled` divides the codes by the scale of the prior, or without a prior by the "
            "largest std of a latent; `absolute` takes them as they are."
        ),
    ] = "scaled",
    sigma: Annotated[
        float, typer.Option(help="Kernel width of the entropy, in units of the ruler.")
    ] = DEFAULT_SIGMA,
    renyi_alpha: Annotated[
        float, typer.Option(help="Order of the entropy.")
    ] = DEFAULT_RENYI_ALPHA,
    tau_std: Annotated[
        float,
        typer.Option(help="Active is what has more entropy than a Gaussian of this std."),
    ] = DEFAULT_TAU_STD,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for tables and figures.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Measure the latents of any model from its codes."""
    # These modules take seconds to load.
    from polar.measurement.files import load_array, save_measurement
    from polar.measurement.measure import measure as measure_codes

    files = {
        "mean": codes,
        "variance": variance,
        "labels": labels,
        "usage": usage,
        "prior_mean": prior_mean,
        "prior_variance": prior_variance,
    }
    try:
        # These are the arguments of `measure`, which checks what the files hold.
        arrays: dict[str, Any] = {name: load_array(path) for name, path in files.items() if path}
        drawn = {name: arrays.get(name) for name in ("variance", "usage")}
        with _progress(arrays["mean"].shape) as tell:
            measured = measure_codes(
                **arrays,
                ruler=ruler,
                sigma=sigma,
                renyi_alpha=renyi_alpha,
                tau_std=tau_std,
                progress=tell,
            )
            if out:
                tell("tables and figures")
            paths = save_measurement(measured, out, arrays["mean"], **drawn) if out else []
    except PolarError as error:
        fail(error, REFUSED)
    except OSError as error:
        fail(error, FAILED)
    _show(measured, output)
    for path in paths:
        (say if output is Format.JSON else write)(f"  {path}")


@contextmanager
def _progress(shape: tuple[int, ...]) -> Iterator[Callable[[str], None]]:
    """Yields a function that says on stderr what is being done; a pipe gets only long work."""
    console = console_on(sys.stderr)
    if console.is_terminal:
        with console.status("measuring") as status:
            yield lambda what: status.update(f"measuring: {what}")
    elif math.prod(shape) > MANY_NUMBERS or max(shape[1:], default=0) > MANY_LATENTS:
        yield lambda what: say(f"measuring: {what}")
    else:
        yield lambda _: None


def _show(measured: "Measurement", output: Format) -> None:
    if output is Format.JSON:
        write_json(measured.model_dump_json(indent=2))
    else:
        write_table(Group(measured.explanation, "", _table(measured)))


def _table(measured: "Measurement") -> Rows:
    table = Rows(
        "latent",
        "label",
        "entropy (nats)",
        "95 % of resamples",
        "equivalent std",
        "var of mean",
        "KL (nats)",
    )
    for name, latent, interval in zip(
        measured.names, measured.latents, measured.entropy_intervals, strict=True
    ):
        table.add(
            name,
            latent.label,
            f"{latent.judged_entropy_nats:.3f}",
            f"{interval.low_nats:.3f} to {interval.high_nats:.3f}",
            f"{latent.equivalent_std:.3g}",
            f"{latent.var_of_mean:.3g}",
            "" if latent.kl_nats is None else f"{latent.kl_nats:.3g}",
        )
    return table
