from . import acceleration as acceleration
from . import attacks as attacks
from . import config as config
from . import data as data
from . import distortions as distortions
from . import errors as errors
from . import estimators as estimators
from . import findings as findings
from . import measuring as measuring
from . import models as models
from . import recipes as recipes
from . import records as records
from . import runs as runs
from . import studies as studies
from . import training as training
from .loops.loaded_run import LoadedRun as LoadedRun
from .loops.loaded_run import load_run as load_run
from .loops.plane import InformationPlane as InformationPlane
from .measuring.probes import gather_activations as gather_activations
from .measuring.probes import record_activations as record_activations
from .measuring.probes import stream_activations as stream_activations
from .recipes import RECIPES as RECIPES
from .records.tables import flat as flat

__version__: str
