"""Suites of attacks for `infoplane evaluate`. To add an attack, write one `SuiteAttack` and name it in a suite."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from infoplane.attacks.extras import check_installed
from infoplane.attacks.minimum_norm import PASSES_AROUND
from infoplane.records.evaluation import Threat

if TYPE_CHECKING:
    from infoplane.attacks import Attack
    from infoplane.attacks.contract import Ball


@dataclass(frozen=True, kw_only=True)
class SuiteAttack:
    """One attack with fixed parameters.

    Args:
        name: in tables and files; another set of parameters has another name.
        description: parameters and source, in one line.
        threat: what the attacker sees. A "transfer" attack is run on another network.
        build: function of the ball that returns the attack.
        gradients: largest number of gradients per image, each with a forward pass.
        queries: largest number of forward passes per image without a gradient.
        norms: of the balls in which the attack can be measured.
        classes: smallest number of classes that it needs.
        extra: name of the optional dependencies of infoplane that it needs.
        one_draw: whether it looks at a single draw per pass of a network with random parts; others average.
    """

    name: str
    description: str
    threat: Threat
    build: "Callable[[Ball], Attack]"
    gradients: int
    queries: int = 0
    norms: tuple[str, ...] = ("linf", "l2")
    classes: int = 2
    extra: str | None = None
    one_draw: bool = False

    @property
    def work(self) -> float:
        """Largest cost per image, in forward and backward passes; a forward pass alone is a third of both.

        The pass of the verification and what every attack prepares count as five.
        """
        return 5 + self.gradients + self.queries / 3


def _pgd(ball: "Ball", steps: int, *, restarts: int = 1, draws: int = 1, all_steps: bool = False) -> "Attack":
    from infoplane.attacks import L2PGD, LinfPGD

    kind = LinfPGD if ball.norm == "linf" else L2PGD
    return kind(
        epsilon=ball.epsilon,
        steps=steps,
        random_start=True,
        restarts=restarts,
        stop_early=True,
        draws=draws,
        all_steps=all_steps,
    )


def _one_step(ball: "Ball") -> "Attack":
    from infoplane.attacks import L2PGD, LinfPGD

    kind = LinfPGD if ball.norm == "linf" else L2PGD
    return kind(epsilon=ball.epsilon, steps=1, step_size=ball.epsilon)


def _r_fgsm(ball: "Ball") -> "Attack":
    from infoplane.attacks import RFGSM

    return RFGSM(epsilon=ball.epsilon)


def _mi_fgsm(ball: "Ball") -> "Attack":
    from infoplane.attacks import MIFGSM

    return MIFGSM(epsilon=ball.epsilon)


def _apgd(ball: "Ball", loss: Literal["ce", "dlr"]) -> "Attack":
    from infoplane.attacks import APGD

    return APGD(epsilon=ball.epsilon, norm=ball.norm, loss=loss, stop_early=True)


def _square(ball: "Ball", queries: int) -> "Attack":
    from infoplane.attacks import Square

    return Square(epsilon=ball.epsilon, queries=queries)


def _deepfool(_ball: "Ball") -> "Attack":
    from infoplane.attacks import DeepFool

    return DeepFool()


def _carlini_wagner(_ball: "Ball", searches: int, steps: int, initial_c: float | None) -> "Attack":
    from infoplane.attacks import CarliniWagner

    return CarliniWagner(searches=searches, steps=steps, initial_c=initial_c)


def _autoattack(ball: "Ball", *, rand: bool = False) -> "Attack":
    from infoplane.attacks.autoattack import AutoAttack

    if rand:
        return AutoAttack(name="autoattack-rand", norm=ball.norm, epsilon=ball.epsilon, version="rand")
    return AutoAttack(name="autoattack", norm=ball.norm, epsilon=ball.epsilon)


def curve_attack(ball: "Ball", draws: int = 1, *, all_steps: bool = False) -> "Attack":
    """Return the attack of the curve of accuracy against epsilon, with gradients averaged over draws."""
    return _pgd(ball, CURVE_STEPS, draws=draws, all_steps=all_steps)


CURVE_STEPS = 40
CURVE_DESCRIPTION = f"PGD, {CURVE_STEPS} steps of 2.5 epsilon / {CURVE_STEPS}, random start"

FGSM = SuiteAttack(
    name="fgsm",
    description="one step of length epsilon along the gradient (Goodfellow et al. 2015)",
    threat="white-box",
    build=_one_step,
    gradients=1,
)
R_FGSM = SuiteAttack(
    name="r+fgsm",
    description="half of epsilon along a random sign, half along that of the gradient (Tramer et al. 2018)",
    threat="white-box",
    build=_r_fgsm,
    gradients=1,
    norms=("linf",),
)
MI_FGSM = SuiteAttack(
    name="mi-fgsm-10",
    description="10 steps of epsilon / 10 along accumulated gradients (Dong et al. 2018)",
    threat="white-box",
    build=_mi_fgsm,
    gradients=10,
    norms=("linf",),
)
PGD_20 = SuiteAttack(
    name="pgd-20",
    description="PGD, 20 steps of epsilon / 8, random start (Madry et al. 2018)",
    threat="white-box",
    build=lambda ball: _pgd(ball, 20),
    gradients=20,
)
PGD_50X10 = SuiteAttack(
    name="pgd-50x10",
    description="PGD, 50 steps of epsilon / 20, 10 random starts (Madry et al. 2018)",
    threat="white-box",
    build=lambda ball: _pgd(ball, 50, restarts=10),
    gradients=500,
)
TRANSFER = SuiteAttack(
    name="transfer",
    description="examples that PGD-20 makes on another network of the run",
    threat="transfer",
    build=lambda ball: _pgd(ball, 20),
    gradients=20,
)
APGD_CE = SuiteAttack(
    name="apgd-ce",
    description="APGD on the cross-entropy, 100 steps (Croce & Hein 2020)",
    threat="white-box",
    build=lambda ball: _apgd(ball, "ce"),
    gradients=100,
)
APGD_DLR = SuiteAttack(
    name="apgd-dlr",
    description="APGD on the difference of logits ratio, 100 steps (Croce & Hein 2020)",
    threat="white-box",
    build=lambda ball: _apgd(ball, "dlr"),
    gradients=100,
    classes=3,
)
DEEPFOOL = SuiteAttack(
    name="deepfool",
    description="DeepFool, the smallest L2 change, 50 steps, 10 classes (Moosavi-Dezfooli et al. 2016)",
    threat="white-box",
    build=_deepfool,
    gradients=450,
    queries=PASSES_AROUND,
)
CW_5X200 = SuiteAttack(
    name="cw-5x200",
    description="Carlini-Wagner, the smallest L2 change, 5 searches of 200 steps, first c from the gradient (2017)",
    threat="white-box",
    build=lambda ball: _carlini_wagner(ball, 5, 200, None),
    gradients=1001,
    queries=PASSES_AROUND,
)
CW_9X10000 = SuiteAttack(
    name="cw-9x10000",
    description="Carlini-Wagner, the smallest L2 change, 9 searches of 10,000 steps, c from 0.001 (2017)",
    threat="white-box",
    build=lambda ball: _carlini_wagner(ball, 9, 10_000, 1e-3),
    gradients=90_000,
    queries=PASSES_AROUND,
)
SQUARE_500 = SuiteAttack(
    name="square-500",
    description="Square, 500 queries, p 0.8 (Andriushchenko et al. 2020)",
    threat="black-box",
    build=lambda ball: _square(ball, 500),
    gradients=0,
    queries=500,
    norms=("linf",),
)
SQUARE_5000 = SuiteAttack(
    name="square-5000",
    description="Square, 5,000 queries, p 0.8 (Andriushchenko et al. 2020)",
    threat="black-box",
    build=lambda ball: _square(ball, 5000),
    gradients=0,
    queries=5000,
    norms=("linf",),
)

AUTOATTACK = SuiteAttack(
    name="autoattack",
    description="AutoAttack standard: APGD-CE, targeted APGD-DLR and FAB, Square, 5,000 queries (Croce & Hein 2020)",
    threat="ensemble",
    build=_autoattack,
    gradients=101 + 9 * 101 + 9 * 100,
    queries=5000,
    classes=4,
    extra="autoattack",
)
AUTOATTACK_RAND = SuiteAttack(
    name="autoattack-rand",
    description="AutoAttack rand: APGD-CE and APGD-DLR, 20 draws (Croce & Hein 2020)",
    threat="white-box",
    build=lambda ball: _autoattack(ball, rand=True),
    gradients=2 * 101 * 20,
    classes=3,
    extra="autoattack",
)


def with_all_steps(one: SuiteAttack, draws: int = 1) -> SuiteAttack:
    """Return the attack without early stopping, and with every gradient and output averaged over draws.

    An attack of another library comes back as it is.

    Args:
        one: an attack of a suite.
        draws: passes over which it averages.
    """
    if one.extra is not None:
        return one

    def build(ball: "Ball") -> "Attack":
        attack: Any = one.build(ball)
        changed: Attack = replace(attack, draws=draws, all_steps=True)  # fields of every attack of this package
        return changed

    averaged = f"; averaged over {draws} draws" if draws > 1 else ""
    return replace(
        one,
        description=f"{one.description}; all steps on every image{averaged}",
        build=build,
        gradients=one.gradients * draws,
        queries=one.queries * draws,
    )


def against_random(one: SuiteAttack, draws: int) -> SuiteAttack | None:
    """Return the attack as it is run on a network that draws at every pass; None if it cannot be.

    It stops at no image early: that one pass misclassifies an image does not mean that the next one will. AutoAttack
    becomes its version "rand", which is the one for networks with random parts.

    Args:
        one: an attack of a suite.
        draws: passes over which it averages; 1 of a network that averages itself.
    """
    if one.extra is None:
        return with_all_steps(one, 1 if one.one_draw else draws)
    return AUTOATTACK_RAND if one is AUTOATTACK else None


def on_mean_path(one: SuiteAttack) -> SuiteAttack:
    """Return the name under which an attack's examples of the mean path are tried on averaged draws."""
    return replace(
        one,
        name=f"{one.name}-on-mean",
        description=f"{one.description}; made on the mean path",
        threat="mean path",
        gradients=0,
        queries=0,
    )


def along_one_draw(one: SuiteAttack) -> SuiteAttack:
    """Return the attack with the gradient of a single draw at each step, as evaluations that overstate robustness do.

    On a network without random parts it is the attack itself.
    """
    return replace(
        one, name=f"{one.name}-one-draw", description=f"{one.description}; a single draw at each step", one_draw=True
    )


def honest_attacks(queries: int) -> tuple[SuiteAttack, ...]:
    """Return the attacks of `infoplane bottleneck`: weak ones along single draws, then those that average over draws.

    PGD-20 is in both groups, so that the two can be compared.

    Args:
        queries: of Square.
    """
    square = replace(
        SQUARE_5000,
        name=f"square-{queries}",
        description=f"Square, {queries:,} queries, p 0.8 (Andriushchenko et al. 2020)",
        build=lambda ball: _square(ball, queries),
        queries=queries,
    )
    return (along_one_draw(FGSM), along_one_draw(PGD_20), PGD_20, TRANSFER, APGD_CE, APGD_DLR, square)


# Cheap attacks first.
SUITES: dict[str, tuple[SuiteAttack, ...]] = {
    "quick": (FGSM, PGD_20, TRANSFER, APGD_CE, SQUARE_500),
    "standard": (FGSM, PGD_20, TRANSFER, APGD_CE, APGD_DLR, PGD_50X10, CW_5X200, SQUARE_5000, AUTOATTACK),
    "full": (
        FGSM,
        R_FGSM,
        MI_FGSM,
        PGD_20,
        TRANSFER,
        APGD_CE,
        APGD_DLR,
        DEEPFOOL,
        PGD_50X10,
        SQUARE_5000,
        AUTOATTACK,
        CW_9X10000,
    ),
}


def check_suite_installed(suite: str) -> None:
    """Refuse a suite of which an attack needs a package that is not installed.

    Raises:
        UserError: it is not installed; the message says what to install.
    """
    for one in SUITES[suite]:
        check_installed(one.name, one.extra)


def usable(
    attacks: Sequence[SuiteAttack], *, norm: str, classes: int, with_source: bool
) -> tuple[list[SuiteAttack], list[str]]:
    """Return the attacks that can be run, and a sentence about each of the others.

    Args:
        attacks: a suite.
        norm: of the ball.
        classes: number of classes.
        with_source: whether there is another network for transfer attacks.
    """
    chosen, left_out = [], []
    for one in attacks:
        if norm not in one.norms:
            left_out.append(f"{one.name}: it is defined for the norm {' or '.join(one.norms)}, not for {norm}")
        elif classes < one.classes:
            left_out.append(f"{one.name}: it needs {one.classes} classes, and there are {classes}")
        elif one.threat == "transfer" and not with_source:
            left_out.append(f"{one.name}: there is no other network to make its examples on")
        else:
            chosen.append(one)
    return chosen, left_out
