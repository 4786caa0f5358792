from . import attacks as attacks
from . import data as data
from . import distortions as distortions
from . import estimators as estimators
from . import findings as findings
from . import models as models
from . import studies as studies
from . import training as training
from .measuring.probes import gather_activations as gather_activations
from .measuring.probes import record_activations as record_activations
from .measuring.probes import stream_activations as stream_activations
from .recipes import RECIPES as RECIPES
from .records.tables import flat as flat
from .studies import InformationPlane as InformationPlane

__version__: str
