"""Entropies of latents."""

from polar.entropy.gaussian import equivalent_std as equivalent_std
from polar.entropy.gaussian import gaussian_entropy as gaussian_entropy
from polar.entropy.renyi import RenyiEntropy as RenyiEntropy
from polar.entropy.renyi import renyi_entropy as renyi_entropy
