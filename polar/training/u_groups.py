"""The images that have the same u, and means over them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Num, UInt8
from torch import Tensor

#: Fewest images of a group; smaller groups take the mean over all images. Chosen by us, because
#: the mean of few images says too much about each of them.
FEWEST = 5
#: Values summed at once, so that bytes are not turned into float64 all together.
AT_ONCE = 256


@dataclass(frozen=True)
class UGroups:
    """Which images have the same u; without u all images are one group."""

    #: Number of the group of each image; 0 stands for all images together.
    of_image: Int64[Tensor, " n"]

    @classmethod
    def of(cls, u: UInt8[Tensor, "n k"]) -> "UGroups":
        """The groups of images with these one-hot vectors."""
        if u.shape[1] == 0:
            return cls(torch.zeros(len(u), dtype=torch.int64, device=u.device))
        _, group, counts = torch.unique(u, dim=0, return_inverse=True, return_counts=True)
        return cls(torch.where(counts[group] < FEWEST, 0, group + 1))

    def group_means(self, values: Num[Tensor, "n ..."]) -> Float64[Tensor, "groups ..."]:
        """The mean over each group; row 0 is the mean over all images."""
        groups = int(self.of_image.max()) + 1
        sums = torch.zeros(groups, *values.shape[1:], dtype=torch.float64, device=values.device)
        for rows in torch.split(torch.arange(len(values), device=values.device), AT_ONCE):
            sums.index_add_(0, self.of_image[rows], values[rows].double())
        counts = torch.bincount(self.of_image, minlength=groups)
        means = sums / counts.clamp_min(1).reshape(-1, *[1] * (values.ndim - 1))
        means[0] = sums.sum(0) / len(values)
        return means

    def means(self, values: Num[Tensor, "n ..."]) -> Float64[Tensor, "n ..."]:
        """For each image the mean over the images of its group."""
        return self.group_means(values)[self.of_image]
