"""The attacks that a run can measure. To add one, write its file and add it to the list."""

from collections.abc import Sequence

from infoplane.attacks.apgd import APGD_CE_SPEC, APGD_DLR_SPEC
from infoplane.attacks.art_specs import BOUNDARY_SPEC, HOPSKIPJUMP_SPEC, ONE_PIXEL_SPEC, ZOO_SPEC
from infoplane.attacks.autoattack import AUTOATTACK_RAND_SPEC, AUTOATTACK_SPEC
from infoplane.attacks.bim import BIM_SPEC
from infoplane.attacks.carlini_wagner import CARLINI_WAGNER_SPEC
from infoplane.attacks.deepfool import DEEPFOOL_SPEC
from infoplane.attacks.extras import check_installed
from infoplane.attacks.fgsm import FGSM_SPEC
from infoplane.attacks.lbfgs import LBFGS_SPEC
from infoplane.attacks.mi_fgsm import MI_FGSM_SPEC
from infoplane.attacks.own import own_attack
from infoplane.attacks.pgd import PGD_SPEC
from infoplane.attacks.r_fgsm import R_FGSM_SPEC
from infoplane.attacks.random_target import RANDOM_TARGET_SPEC
from infoplane.attacks.spec import AttackSpec
from infoplane.attacks.square import SQUARE_SPEC
from infoplane.attacks.transfer import TRANSFER_SPEC
from infoplane.attacks.universal import UNIVERSAL_SPEC
from infoplane.errors import UserError, unknown_name

# The attacks that there are.
ATTACKS: list[AttackSpec] = [
    PGD_SPEC,
    FGSM_SPEC,
    R_FGSM_SPEC,
    BIM_SPEC,
    MI_FGSM_SPEC,
    APGD_CE_SPEC,
    APGD_DLR_SPEC,
    SQUARE_SPEC,
    DEEPFOOL_SPEC,
    CARLINI_WAGNER_SPEC,
    LBFGS_SPEC,
    UNIVERSAL_SPEC,
    ONE_PIXEL_SPEC,
    ZOO_SPEC,
    BOUNDARY_SPEC,
    HOPSKIPJUMP_SPEC,
    AUTOATTACK_SPEC,
    AUTOATTACK_RAND_SPEC,
    TRANSFER_SPEC,
    RANDOM_TARGET_SPEC,
]
OWN_FORM = "package.module:function"


def attack_named(name: str) -> AttackSpec:
    """Return the attack with this name, or the user's own attack with this path.

    Raises:
        UserError: there is no such attack; the message lists all attacks.
    """
    if ":" in name:
        return own_attack(name)
    known = {spec.name: spec for spec in ATTACKS}
    if name not in known:
        raise unknown_name("attack", name, [*known, OWN_FORM])
    return known[name]


def attacks_named(names: Sequence[str], norm: str, classes: int | None = None) -> dict[str, AttackSpec]:
    """Return the attacks in the order of `names`; the keys name their examples in the records.

    Args:
        names: names of attacks in `ATTACKS`, or paths of the user's own attacks.
        norm: "linf" or "l2", from the settings.
        classes: number of classes of the data; None if it is not known yet.

    Raises:
        UserError: there is no such attack, it is not defined for the norm or for so few classes, its library is not
            installed, or two kinds of examples would have one name.
    """
    from infoplane.records.tables import ORIGINAL, RANDOM  # here, since polars loads slowly

    shipped = {spec.examples: f"those of the attack {spec.name}" for spec in ATTACKS}
    taken = {ORIGINAL: "examples without an attack", RANDOM: "examples under a random perturbation"}
    chosen: dict[str, AttackSpec] = {}
    for name in names:
        spec = attack_named(name)
        if norm not in spec.norms:
            able = ", ".join(one.name for one in ATTACKS if norm in one.norms)
            raise UserError(
                f"the attack {name} is defined for the norm {' or '.join(spec.norms)}, not for {norm}; "
                f"choose from {able}"
            )
        if not spec.allows(classes):
            raise UserError(
                f"the attack {name} compares {spec.fewest_classes} logits, and the data have {classes} classes; "
                "use apgd-ce, pgd or square"
            )
        check_installed(name, spec.extra)
        others = {**shipped, **taken} if spec.is_own else taken
        if spec.examples in others:
            raise UserError(
                f"the attack {name}: the records would call its examples {spec.examples!r}, as "
                f"{others[spec.examples]}; name each attack once, and give the function another name"
            )
        chosen[spec.examples] = spec
        taken[spec.examples] = f"those of the attack {name}"
    return chosen
