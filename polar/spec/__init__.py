"""What a researcher submits: frozen, validated, hashable specifications.

Imports no torch and no numpy, so that the service, the queue and the agents can read specs.
"""

from polar.spec.axis import Axis as Axis
from polar.spec.datasets import DATASETS as DATASETS
from polar.spec.datasets import DatasetSpec as DatasetSpec
from polar.spec.datasets import DigitsSpec as DigitsSpec
from polar.spec.datasets import DSpritesSpec as DSpritesSpec
from polar.spec.datasets import ImageShape as ImageShape
from polar.spec.datasets import MnistSpec as MnistSpec
from polar.spec.datasets import OwnImagesSpec as OwnImagesSpec
from polar.spec.datasets import SmallNorbSpec as SmallNorbSpec
from polar.spec.datasets import SpritesSpec as SpritesSpec
from polar.spec.datasets import shape_of as shape_of
from polar.spec.experiment import SCIENCE_VERSION as SCIENCE_VERSION
from polar.spec.experiment import ExperimentSpec as ExperimentSpec
from polar.spec.fields import SpecPart as SpecPart
from polar.spec.models import MODELS as MODELS
from polar.spec.models import AESpec as AESpec
from polar.spec.models import BernoulliSpec as BernoulliSpec
from polar.spec.models import BetaVAESpec as BetaVAESpec
from polar.spec.models import FixedVarianceVAESpec as FixedVarianceVAESpec
from polar.spec.models import GaussianSpec as GaussianSpec
from polar.spec.models import IVAESpec as IVAESpec
from polar.spec.models import L2AESpec as L2AESpec
from polar.spec.models import LikelihoodSpec as LikelihoodSpec
from polar.spec.models import LVAESpec as LVAESpec
from polar.spec.models import ModelSpec as ModelSpec
from polar.spec.models import OwnModelSpec as OwnModelSpec
from polar.spec.study import StudySpec as StudySpec
from polar.spec.text import read_spec_file as read_spec_file
from polar.spec.text import read_yaml as read_yaml
from polar.spec.training import DiagnosticsSpec as DiagnosticsSpec
from polar.spec.training import DownstreamSpec as DownstreamSpec
from polar.spec.training import TrainingSpec as TrainingSpec
