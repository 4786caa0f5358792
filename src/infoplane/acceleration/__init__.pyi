from .candidate_choices import candidates as candidates
from .choices import PLAIN as PLAIN
from .choices import Choices as Choices
from .evaluation import computed_as_chosen as computed_as_chosen
from .evaluation import for_attack as for_attack
from .network import AcceleratedNetwork as AcceleratedNetwork
from .network import wrap as wrap
