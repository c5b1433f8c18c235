"""How well each signal finds mixed latents in trained models, where mixed latents are planted.

    python -m benchmarks.planted SPEC --out DIR --vary dataset.absent=0,0.1,0.5,0.9 --vary seed=0,1

SPEC trains a VAE on sprites. From a fraction of the images (`dataset.absent`) the sprite is
missing: a latent that says something of the sprite has nothing to say there. So of the latents
that the decoder uses, those of models with missing sprites count as mixed, and all others do not:
what is not used, and everything in the models that see a sprite in every image. That is what was
planted, whatever the signals say; whether it grew is the last column: the used latents whose
variance is above 0.7 where the sprite is missing and below 0.3 elsewhere, by the two signals.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.mixed import SIGNALS
from benchmarks.sweep import Point, parser, run_all
from polar.regime.usage import area_under_curve

#: Of what all latents together are worth to the decoder, from which on one counts as used.
USED_FROM = 0.02


def main() -> None:
    """Prints a row for each fraction of missing sprites."""
    runs = run_all(parser(__doc__ or "").parse_args())
    latents = pd.concat([_latents(point, folder) for point, folder in runs], ignore_index=True)
    rows = [_row(latents, absent) for absent in sorted(latents["absent"].unique()) if absent > 0]
    print(pd.DataFrame(rows).set_index("absent").T.to_string(float_format="{:.2f}".format))


def _latents(point: Point, folder: Path) -> pd.DataFrame:
    mixed = pd.read_parquet(folder / "mixed.parquet")
    usage = pd.read_parquet(folder / "usage.parquet")
    labels = pd.read_parquet(folder / "labels.parquet").query("criterion == 'two_signals'")
    verdict = json.loads((folder / "result.json").read_bytes())["final"]["verdict"]
    return mixed.assign(
        absent=point.get("dataset.absent", 0),
        explained=verdict["explained"],
        is_used=usage["relative_usage"] > USED_FROM,
        label=labels["label"].to_numpy(),
    )


def _row(latents: pd.DataFrame, absent: float) -> dict[str, float | None]:
    of_these = latents["absent"] == absent
    among = latents[of_these | (latents["absent"] == 0)]
    is_mixed = ((among["absent"] == absent) & among["is_used"]).to_numpy()
    used = latents[of_these & latents["is_used"]]
    return {
        "absent": absent,
        **{f"AUC of {name}": _area(among[field], is_mixed) for name, field in SIGNALS.items()},
        "R": latents[of_these]["explained"].mean(),
        "used latents": len(used),
        "of them called mixed": (used["label"] == "mixed").mean(),
        "of them called undetermined": (used["label"] == "undetermined").mean(),
    }


def _area(scores: "pd.Series[float]", is_mixed: np.ndarray) -> float | None:
    return area_under_curve(scores.fillna(0.0).to_numpy(dtype=np.float64), is_mixed)


if __name__ == "__main__":
    main()
