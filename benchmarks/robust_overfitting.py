"""Early stopping by robust accuracy and by robust information, compared on the same trainings.

    INFOPLANE_DATA=... python benchmarks/robust_overfitting.py FOLDER [--seeds 0 1 2 3 4]
    python benchmarks/robust_overfitting.py FOLDER --table     # Markdown and FOLDER/robust-overfitting.png

LeNet-5 is trained adversarially on 500 images of CIFAR-10, once per seed, to the last epoch. After every second epoch
the rules of `--training.stop` judge the network on 400 held-out images. Then every rule chooses its epoch on this one
path, and the networks of the chosen epochs are attacked on 1,000 test images by more steps (docs/results/
robust-overfitting.md). A seed writes FOLDER/sSEED.pt after each judgement and FOLDER/sSEED.json at its end, so a killed
run goes on from there.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from infoplane.attacks import PGD, LinfPGD
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import AttackConfig, FlowConfig
from infoplane.data import stratified_indices
from infoplane.distributed.team import ALONE
from infoplane.findings.evidence import t_quantile
from infoplane.measuring.evaluate import attack_images, evaluate, layer_activations
from infoplane.measuring.fitted_decoders import fitted_decoders
from infoplane.measuring.robust_information import last_hidden_layer, robust_information
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.recipes import RECIPES
from infoplane.runs.whole_files import write_whole
from infoplane.studies.flow.choose_acceleration import training_choices
from infoplane.studies.flow.trainers import build_trainer
from infoplane.studies.parts import Images, build_model, load_images
from infoplane.training.named import named_training

TRAINED, HELD_OUT = 500, 400
FOLLOWED, ATTACKED = 400, 1_000  # test images: along the path, and of the chosen epochs
EPOCHS, JUDGED_EVERY, PATIENCE = 60, 2, 5  # patience in judgements: 10 epochs
EPSILON, STEPS, STRONG_STEPS = 3 / 255, 4, 10
RULES = {  # name in the table: column of the path, and whether it is to be high or low
    "robust accuracy": ("accuracy", 1),
    "robust information": ("information", 1),
    "robust loss": ("loss", -1),
    "refitted decoders": ("refitted", 1),
}
LAST, ORACLE = "last epoch", "best on test images"
Path_ = list[dict[str, float]]  # a row per judgement


def settings(seed: int) -> FlowConfig:
    """Return the settings of one training: those of the recipe, but for LeNet-5, fewer images and a weaker attack."""
    own = RECIPES["cifar10-wrn"].config.model_dump()
    own["model"] |= {"name": "lenet5", "settings": {}}
    own["attack"] = AttackConfig(epsilon=EPSILON, step_size=EPSILON / 2, steps=STEPS).model_dump()
    own["data"] |= {"train_examples": TRAINED + HELD_OUT}
    own["training"] |= {
        "epochs": EPOCHS,
        "batch_size": 25,
        "learning_rate": 0.03,
        "milestones": (2 * EPOCHS // 3,),
        "gamma": 0.1,
        "warmup_epochs": 5,
        "augment": False,
        "validation_fraction": HELD_OUT / (TRAINED + HELD_OUT),
    }
    return FlowConfig.model_validate({**own, "seed": seed})


def attacked(model: nn.Module, attack: PGD, pixels: Tensor, labels: Tensor) -> Tensor:
    """Return the images under the attack, with the same draws for every network."""
    with evaluation_mode(model):
        return attack_images(model, attack, pixels, labels, generator=torch.Generator().manual_seed(0))


def judgement(model: nn.Module, config: FlowConfig, images: Images, followed: Tensor) -> dict[str, float]:
    """Return what the rules look at, on held-out images, and robust accuracy on test images."""
    assert images.held_out is not None
    held_out, test = images.held_out, images.test.subset(followed)
    attack = pgd_attack(config.attack, random_start=False)  # as in `training.validation`
    tested = attacked(model, attack, as_pixels(test.images), test.labels)
    pixels = as_pixels(held_out.images)
    changed = attacked(model, attack, pixels, held_out.labels)
    with evaluation_mode(model):
        layer = last_hidden_layer(model, pixels, model.probed_layers)
        found, clean = evaluate(model, changed, held_out.labels), evaluate(model, pixels, held_out.labels)
        information = robust_information(model, pixels, changed, held_out.labels, layer=layer)
        ((_, outputs),) = layer_activations(model, changed, [layer])
        of_test = evaluate(model, tested, test.labels)
    (refitted,) = fitted_decoders(
        outputs, held_out.labels, groups=torch.arange(len(changed)), examples_seed=0, permutations=0
    )
    return {
        "accuracy": found.accuracy,
        "loss": found.loss,
        "information": information.value,
        "refitted": refitted.value,
        "clean": clean.accuracy,
        "test": of_test.accuracy,
    }


def chosen(path: Path_) -> dict[str, int]:
    """Return which judgement each rule chooses, the first of equals: of the whole path, and with patience."""
    found = {}
    for rule, (column, sign) in RULES.items():
        values = [sign * row[column] for row in path]
        found[rule] = int(np.argmax(values))
        best = 0
        for place, value in enumerate(values):
            if value > values[best]:
                best = place
            elif place - best >= PATIENCE:
                break
        found[f"{rule}, patience"] = best
    return {**found, LAST: len(path) - 1, ORACLE: int(np.argmax([row["test"] for row in path]))}


def trained(seed: int, folder: Path) -> dict[str, Any]:
    """Train one seed, or go on with it, and return its path and the accuracies of the chosen epochs."""
    torch.set_num_threads(1)
    config = settings(seed)
    images = load_images(config, "cpu")
    generator = torch.Generator().manual_seed(0)
    followed, wider = (
        stratified_indices(images.test.labels, number, generator=generator) for number in (FOLLOWED, ATTACKED)
    )
    model = build_model(config, images.test)
    choices = training_choices(config, "cpu", "auto")
    judging = images._replace(held_out=None)  # the trainer does not judge: here all rules share one attack
    trainer = build_trainer(config, named_training("adversarial", config), model, judging, [], choices, ALONE)
    assert trainer is not None
    kept_path = folder / f"s{seed}.pt"
    path: Path_ = []
    weights: dict[int, dict[str, Tensor]] = {}
    if kept_path.exists():
        kept = torch.load(kept_path, weights_only=True)
        path, weights = kept["path"], kept["weights"]
        trainer.load_state_dict(kept["trainer"])
    while trainer.epoch < EPOCHS:
        began = time.process_time()
        own = [trainer.train_epoch().accuracy for _ in range(JUDGED_EVERY)]
        row = {"epoch": trainer.epoch, "train": own[-1], **judgement(model, config, images, followed)}
        path.append({**row, "seconds": time.process_time() - began})
        weights[len(path) - 1] = {name: value.clone() for name, value in model.state_dict().items()}
        print(seed, {name: round(value, 3) for name, value in path[-1].items()}, flush=True)
        buffer = io.BytesIO()
        torch.save({"path": path, "weights": weights, "trainer": trainer.state_dict()}, buffer)
        write_whole(kept_path, buffer.getvalue())
    places = chosen(path)
    strong = LinfPGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=STRONG_STEPS, random_start=True)
    test = images.test.subset(wider)
    pixels, robust = as_pixels(test.images), {}
    for place in sorted(set(places.values())):
        model.load_state_dict(weights[place])
        with evaluation_mode(model):
            robust[place] = evaluate(model, attacked(model, strong, pixels, test.labels), test.labels).accuracy
    found = {
        "seed": seed,
        "epochs": {rule: int(path[place]["epoch"]) for rule, place in places.items()},
        "robust": {rule: robust[place] for rule, place in places.items()},
        "path": path,
        "choices": str(choices),
    }
    write_whole(folder / f"s{seed}.json", json.dumps(found).encode())
    return found


def differences(seeds: Sequence[Mapping[str, Any]], first: str, second: str) -> tuple[float, float, float]:
    """Return the mean over seeds of one rule's accuracy less another's, in points, and its 95 % t interval."""
    own = 100 * np.array([one["robust"][first] - one["robust"][second] for one in seeds])
    if len(own) < 2:
        return float(own.mean()), -math.inf, math.inf
    half = t_quantile(0.05, len(own) - 1) * float(own.std(ddof=1)) / math.sqrt(len(own))
    return float(own.mean()), float(own.mean()) - half, float(own.mean()) + half


def table(seeds: Sequence[Mapping[str, Any]]) -> str:
    """Return Markdown: of each rule the chosen epochs, accuracies by seed, and the difference from robust accuracy."""
    reference = next(iter(RULES))
    lines = [
        "| rule | chosen epochs | robust test accuracy by seed, % | mean | less that of robust accuracy, points |",
        "|---|---|---|---|---|",
    ]
    for rule in seeds[0]["robust"]:
        epochs = " ".join(str(one["epochs"][rule]) for one in seeds)
        robust = [100 * one["robust"][rule] for one in seeds]
        mean, low, high = differences(seeds, rule, reference)
        interval = f" ({low:+.2f} to {high:+.2f})" if math.isfinite(low) else ""  # none of a single seed
        difference = "" if rule == reference else f"{mean:+.2f}{interval}"
        by_seed = " ".join(f"{one:.1f}" for one in robust)
        lines.append(f"| {rule} | {epochs} | {by_seed} | {np.mean(robust):.2f} | {difference} |")
    return "\n".join(lines)


def draw(seeds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the paths of all seeds, with the epochs that the two rules choose."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    panels = (("train", "test"), ("accuracy",), ("information",))
    titles = (
        "robust accuracy: training (dashed), test",
        "held out: robust accuracy",
        "held out: robust information, nats",
    )
    for here, columns, title in zip(axes, panels, titles, strict=True):
        here.set_title(title, loc="left", fontsize=8)
        here.set_xlabel("completed epochs")
        for rank, one in enumerate(seeds):
            for column in columns:
                here.plot(
                    [row["epoch"] for row in one["path"]],
                    [row[column] for row in one["path"]],
                    color=f"C{rank}",
                    linestyle="--" if column == "train" else "-",
                    linewidth=1,
                )
            if columns[0] in ("accuracy", "information"):
                rule = f"robust {columns[0]}"
                place = one["epochs"][rule] // JUDGED_EVERY - 1
                here.plot(one["epochs"][rule], one["path"][place][columns[0]], "o", color=f"C{rank}", markersize=4)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train the seeds that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        found = [json.loads(one.read_text()) for one in sorted(given.folder.glob("s*.json"))]
        print(table(found))
        draw(found, given.folder / "robust-overfitting.png")
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        if not (given.folder / f"s{seed}.json").exists():
            one = trained(seed, given.folder)
            print(seed, one["epochs"], one["robust"], flush=True)


if __name__ == "__main__":
    main()
