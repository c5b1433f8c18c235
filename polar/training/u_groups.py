"""The images that have the same u, and means over them.

Notation:
    n: images.
    g: groups.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Num, UInt8
from torch import Tensor

#: Values summed at once, so that bytes are not turned into float64 all together.
AT_ONCE = 256


@dataclass(frozen=True)
class GroupMeans:
    """The mean over each group, for guesses of what a member is like.

    The mean over a group of few that the member is part of says too much about it, and the mean
    over the others too little of what there is to know about the group. So a guess is halfway
    between the mean over the group and the same mean in which the mean over all images stands for
    the member itself: its squared error is that of the true mean, up to a part that falls with the
    square of the number of members. Without u the mean over all images is the guess as it is.
    """

    #: The mean over each group, in the unit of the values; row 0 is the mean over all images.
    means: Float64[Tensor, "g ..."]
    #: Number of members of each group, shape (g, 1, ...); infinite in row 0, where a guess is the
    #: mean as it is.
    counts: Float64[Tensor, "g ..."]

    def for_members(
        self, values: Num[Tensor, "k ..."], groups: Int64[Tensor, " k"]
    ) -> Float64[Tensor, "k ..."]:
        """Guesses for values that the means were taken over.

        Args:
            values: Shape (k, ...).
            groups: The number of the group of each value, shape (k,).

        Returns:
            Shape (k, ...), float64, in the unit of the values.
        """
        away = (self.means[0] - values.double()) / self.counts[groups]
        return self.means[groups] + away / 2

    def for_others(self, groups: Int64[Tensor, " k"]) -> Float64[Tensor, "k ..."]:
        """Guesses for values that the means were not taken over, each by a whole group.

        The mean over all images counts as another member.

        Args:
            groups: The number of the group of each value, shape (k,).

        Returns:
            Shape (k, ...), float64, in the unit of the values.
        """
        means = self.means[groups]
        return means + (self.means[0] - means) / (self.counts[groups] + 1)


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
        return cls(torch.unique(u, dim=0, return_inverse=True)[1] + 1)

    @property
    def is_one(self) -> bool:
        """Whether all images are one group."""
        return not self.of_image.any()

    def means(self, values: Num[Tensor, "k ..."]) -> GroupMeans:
        """The means over the values of the first k images, shape (k, ...).

        A group that none of these images belongs to has mean 0 and no members.
        """
        of_value = self.of_image[: len(values)].cpu()
        groups = int(self.of_image.max()) + 1
        # On the CPU, because a GPU adds in an order that changes from call to call.
        sums = torch.zeros(groups, *values.shape[1:], dtype=torch.float64)
        parts = (torch.split(each, AT_ONCE) for each in (of_value, values))
        for rows, part in zip(*parts, strict=True):
            sums.index_add_(0, rows, part.cpu().double())
        counts = torch.bincount(of_value, minlength=groups).double()
        counts = counts.reshape(-1, *[1] * (values.ndim - 1))
        means = sums / counts.clamp_min(1)
        means[0], counts[0] = sums.sum(0) / len(values), torch.inf
        return GroupMeans(means.to(values.device), counts.to(values.device))

    def guesses(self, values: Num[Tensor, "n ..."]) -> Float64[Tensor, "n ..."]:
        """For the value of each image, shape (n, ...), a guess by the values of its group."""
        return self.means(values).for_members(values, self.of_image)
