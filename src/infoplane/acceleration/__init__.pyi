from .candidate_choices import candidates as candidates
from .choices import PLAIN as PLAIN
from .choices import Choices as Choices
from .network import AcceleratedNetwork as AcceleratedNetwork
from .network import wrap as wrap
