"""What the latents are worth to a simple task."""

from polar.downstream.regression import Control as Control
from polar.downstream.regression import Representation as Representation
from polar.downstream.task import Baseline as Baseline
from polar.downstream.task import Downstream as Downstream
from polar.downstream.task import Gain as Gain
from polar.downstream.task import predict_factors as predict_factors
