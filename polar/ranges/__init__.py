"""The weights for which a latent space polarises: the range that is known, and what to try next.

Notation of the package:
    band: the weights between the left and the right edge, on a log axis; within the band latent
        spaces are polarised, except in gaps. Left of it they are under-regularised or forming,
        right of it forming or collapsed.
    cell: the weights between two neighbouring points of the axis; the points are all tested
        weights, and a grid whose neighbours lie a factor `Search.factor` apart. One more cell lies
        beyond either end of the search. An edge is known when its cell is known.
"""

from polar.ranges.proposal import propose as propose
from polar.ranges.report import find_range as find_range
from polar.ranges.search import Search as Search
