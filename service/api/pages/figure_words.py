"""What figures show, in words for those who cannot see them."""

from pathlib import PurePath

#: What each figure of a run, or of a study, shows.
SHOWN = {
    "sorted_entropies": "the final entropies of the latents in descending order, with the "
    "threshold between active and passive",
    "entropy_over_training": "the entropy of every latent over training, with the threshold",
    "entropy_heatmap": "the entropy of every latent at every evaluation, with the highest final "
    "entropy on top",
    "measures_over_training": "entropy, information and variance of one latent over training",
    "trajectories": "the entropy of an active, a passive and the attempted actives over training",
    "activation_order": "the usage of the latents against the step at which they became active",
    "usage_against_entropy": "how much the decoder uses each latent, against its final entropy",
    "explained_by_the_most_used": "the explained part R with the k most used latents kept and the "
    "others set to their means",
    "traversals": "images that the decoder makes while one latent at a time goes from low to "
    "high, a row for each latent",
    "thresholds": "the sorted entropies and the threshold of every rule, with intervals",
    "accuracy_against_k": "the accuracy of the downstream task on the k latents of highest "
    "entropy",
    "information_split": "the final entropy of each latent as information and residual",
    "information_diagram": "the entropies of images and codes and the parts they share, as bars",
    "criteria_agreement": "how far each pair of criteria agrees: Cohen's kappa, and how many of "
    "the latents compared are labelled alike",
    "entropy_against_variance": "the entropy of every latent against its variance, by estimator",
    "representations": "mean and variance representation of an active, a passive and a mixed "
    "latent",
    "reconstructions": "images, and beneath each of them what the model makes of it",
    "prior_samples": "what the model draws from samples of its prior",
    "hysteresis": "active latents and explained part R by weight, of trainings from scratch and "
    "of those that went on from inside the band",
    "weight_by_steps": "the verdict of every training at every evaluation, by weight and steps, "
    "and both edges of the band at every budget",
    "loss_envelope": "the loss of each model minus that of total collapse, by weight, and the "
    "least of them all",
}


def figure_words(name: str) -> str:
    """What a figure shows, by its name or the name of its file; of an unknown figure its name."""
    stem = PurePath(name).stem
    return SHOWN.get(stem, stem.replace("_", " "))
