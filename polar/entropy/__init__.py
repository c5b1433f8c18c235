"""Entropies of latents.

`polar.entropy.differential` is not imported here because scikit-learn takes a second to load.
"""

from polar.entropy.gaussian import equivalent_std as equivalent_std
from polar.entropy.gaussian import gaussian_entropy as gaussian_entropy
from polar.entropy.groups import entropy_given_groups as entropy_given_groups
from polar.entropy.image_width import image_sigma as image_sigma
from polar.entropy.information import MutualInformation as MutualInformation
from polar.entropy.information import mutual_information as mutual_information
from polar.entropy.joint import JointEntropy as JointEntropy
from polar.entropy.joint import joint_entropy as joint_entropy
from polar.entropy.renyi import RenyiEntropy as RenyiEntropy
from polar.entropy.renyi import renyi_entropy as renyi_entropy
