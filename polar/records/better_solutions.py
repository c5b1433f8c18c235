"""From which weights on a better solution is known than those in the held band."""

import math

from polar.records.certificates import Certificates, EdgeCertificate, Standing
from polar.records.ranges import RangeReport


def better_known_from(
    report: RangeReport, certificates: Certificates
) -> tuple[float | None, float | None]:
    """The weights, left and right, from which on a held band has a better solution outside it.

    Where a better solution outside is known next to the edge from scratch already, it is the
    weight from which on the edge's certificate says so. Elsewhere it is that of a training that
    went on from inside the band and is not optimal, where no model inside is known to be the best;
    the weight nearest to the edge from scratch is given where there are several. None without any.
    """
    if report.envelope is None or report.held is None:
        return None, None
    band, held = report.envelope, report.held
    down_to, left = _known_better(certificates.left)
    up_to, right = _known_better(certificates.right)
    begin = min((at for at in (down_to, band.left.high) if at is not None), default=math.inf)
    end = max((at for at in (up_to, band.right.low) if at is not None), default=0.0)
    weights = [found.model.weight for found in certificates.not_optimal if found.model.warm_start]
    if left is None:
        below = [weight for weight in weights if (held.left.low or 0.0) < weight < begin]
        left = max(below, default=None)
    if right is None:
        above = [weight for weight in weights if end < weight < (held.right.high or math.inf)]
        right = min(above, default=None)
    return left, right


def _known_better(certificate: EdgeCertificate | None) -> tuple[float | None, float | None]:
    """Up to which weight the best known solution is inside, and from which on it is outside."""
    if certificate is None:
        return None, None
    if certificate.standing is Standing.NOT_OPTIMAL_INSIDE:
        return None, certificate.exists_from
    return certificate.exists_to, None
