"""How well each signal finds mixed latents in trained models that were made to have them.

    python -m benchmarks.planted SPEC --out DIR --vary dataset.absent=0,0.1,0.5,0.9 --vary seed=0,1

SPEC trains a VAE on sprites. In a fraction of the images (`dataset.absent`) the sprite is missing,
and a latent that encodes the sprite has nothing to say there. The latents that count as mixed are
therefore those that the decoder uses in models with missing sprites. All others do not: unused
latents, and every latent of a model that sees a sprite in every image. These kinds follow from the
data, whatever the signals say. Whether mixed latents really emerged is shown by the last rows: the
fraction of used latents that the two signals call mixed, because their variance is above 0.7 where
the sprite is missing and below 0.3 elsewhere, and the fraction that they call undetermined.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.mixed import SIGNALS
from benchmarks.sweep import Point, parser, run_all
from polar.regime.usage import area_under_curve

#: Relative usage above which a latent counts as used.
USED_FROM = 0.02


def main() -> None:
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
    planted = latents["absent"] == absent
    among = latents[planted | (latents["absent"] == 0)]
    is_mixed = ((among["absent"] == absent) & among["is_used"]).to_numpy()
    used = latents[planted & latents["is_used"]]
    return {
        "absent": absent,
        **{f"AUC of {name}": _area(among[field], is_mixed) for name, field in SIGNALS.items()},
        "R": latents[planted]["explained"].mean(),
        "used latents": len(used),
        "fraction called mixed": (used["label"] == "mixed").mean(),
        "fraction called undetermined": (used["label"] == "undetermined").mean(),
    }


def _area(scores: "pd.Series[float]", is_mixed: np.ndarray) -> float | None:
    return area_under_curve(scores.fillna(0.0).to_numpy(dtype=np.float64), is_mixed)


if __name__ == "__main__":
    main()
