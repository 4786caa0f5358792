"""Print error and information of stochastic networks in a run, as Markdown: python docs/results/bottleneck_run.py RUN

Error on all test images: of the mean path, of one draw per image, and of the mean softmax over 12 draws. Information is
in bits, at the noise of the network's own, of the measured examples: the Monte Carlo estimate of I(X;T), the KDE
bounds, and the rate.
"""

import math
import sys
from pathlib import Path

import torch

from infoplane.estimators import own_noise_information
from infoplane.measuring.drawn import drawn_accuracy
from infoplane.measuring.evaluate import evaluate
from infoplane.measuring.intervals import wilson_interval
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.gaussian_layer import recorded_codes
from infoplane.randomness import seeded_generator
from infoplane.runs import RunFolder
from infoplane.studies.finished import FinishedRun


def shown_error(accuracy: float, n: int) -> str:
    """Return an error in percent with its 95 % interval."""
    wrong = round((1 - accuracy) * n)
    low, high = wilson_interval(wrong, n)
    return f"{100 * wrong / n:.2f} ({100 * low:.2f} to {100 * high:.2f})"


print("| training | seed | epoch | mean path | one draw | 12 draws | I(X;T) | KDE bounds | rate |")
print("|---|---|---|---|---|---|---|---|---|")
for one in FinishedRun(RunFolder(Path(sys.argv[1])), device="cpu"):
    test, seed = one.test, one.config.seed
    with evaluation_mode(one.model), torch.no_grad():
        errors = [evaluate(one.model, test.images, test.labels).accuracy]
        for draws in (1, 12):
            drawn = drawn_accuracy(one.model, test.images, test.labels, seed=seed, draws=draws)
            assert drawn.drawn_accuracy is not None
            errors.append(drawn.drawn_accuracy)
        with recorded_codes(one.model) as codes:
            one.model(one.images)
    (code,) = codes.values()
    draws = seeded_generator(seed, "bottleneck run")
    found = own_noise_information(code.mean, code.variance, one.labels, generator=draws)
    numbers = (found.input, found.input_lower, found.input_upper, found.rate)
    bits = [f"{number.value / math.log(2):.2f}" for number in numbers]
    deviations = [number.error / math.log(2) for number in (found.input, found.rate)]
    cells = [one.training, seed, one.epoch, *(shown_error(error, len(test.labels)) for error in errors)]
    cells += [f"{bits[0]} ± {deviations[0]:.2f}", f"{bits[1]} to {bits[2]}", f"{bits[3]} ± {deviations[1]:.2f}"]
    print("|", " | ".join(map(str, cells)), "|")
