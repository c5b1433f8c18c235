"""A sweep of beta as a researcher would write it: one script with DataLoader, Optuna and MLflow.

    python -m benchmarks.plain_sweep --images images.npy --betas 0.1 1 10 --steps 1000

`benchmarks.whole_sweep` compares ours with it. It uses the threads that torch takes by itself, and
keeps its numbers in the current folder, where MLflow puts them by itself.
"""

import argparse
from collections.abc import Collection

import mlflow
import optuna
import torch
from torch import Tensor

from benchmarks.plain_training import (
    BATCH,
    LATENTS,
    LEARNING_RATE,
    VAE,
    WIDTHS,
    entropies,
    load,
    train,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--betas", type=float, nargs="+", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--evaluated", type=int, default=300, help="images of an evaluation")
    parser.add_argument("--at", type=int, nargs="*", default=[], help="evaluations before the end")
    options = parser.parse_args()
    images = load(options.images)

    def objective(trial: optuna.Trial) -> float:
        beta = trial.suggest_float("beta", min(options.betas), max(options.betas))
        with mlflow.start_run(run_name=f"beta {beta}"):
            mlflow.log_params({"beta": beta, "steps": options.steps, "seed": 0})
            at = {*options.at, options.steps}
            loss = one(images, beta, options.steps, at, options.evaluated)
        print(f"beta {beta}: {loss:.2f}", flush=True)
        return loss

    mlflow.set_experiment("sweep")
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"beta": options.betas}))
    study.optimize(objective, n_trials=len(options.betas))


def one(
    images: Tensor, beta: float, steps: int, evaluate_at: Collection[int], evaluated: int
) -> float:
    """Train one model; returns its last loss."""
    torch.manual_seed(0)
    model = VAE(LATENTS, WIDTHS, images.shape[-1])
    for step, loss in train(
        model, images, beta=beta, batch=BATCH, steps=steps, learning_rate=LEARNING_RATE
    ):
        if step % 10 == 0:
            mlflow.log_metric("loss", loss.item(), step)
        if step in evaluate_at:
            found = entropies(model, images[:evaluated])
            mlflow.log_metrics({f"entropy/{j}": each for j, each in enumerate(found)}, step)
    return loss.item()


if __name__ == "__main__":
    main()
