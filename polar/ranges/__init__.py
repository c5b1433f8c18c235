"""For which weights a latent space polarises: what to try next, and the range that is known.

Notation of the package:
    band: the weights between the left and the right edge, on a log axis; in it latent spaces are
        polarised, but for gaps. Left of it they are under-regularised or forming, right of it
        forming or collapsed.
    cell: the weights between two neighbours among all tested weights and those of a grid whose
        neighbours lie a factor `Search.factor` apart; one more cell beyond either end of the
        search. An edge is known when its cell is.
"""

from polar.ranges.proposal import propose as propose
from polar.ranges.report import find_range as find_range
from polar.ranges.search import Search as Search
