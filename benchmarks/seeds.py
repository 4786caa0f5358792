"""Whether adversarial training leaves chance, whatever the seed: every recipe of LeNet-5, both ways of computing.

    INFOPLANE_DATA=... python benchmarks/seeds.py RESULTS.jsonl [--cases NAME ...] [--ways fast float32] [--seeds 16]
    python benchmarks/seeds.py RESULTS.jsonl --table          # Markdown, from what is there

PGD-7 training of every seed, case and way of computing: two or three epochs, of the few digits six. A row per training
is appended to RESULTS.jsonl, with the processor; rows that are there are not computed again, so several processes may
share the work (--cases, --ways) and a killed one goes on. --warmup 0 trains by the study's own schedule.

Cases: mnist, the recipe on all 60,000 images, on 20,000 at 8/255; digits, the recipe; folder, 20,000 images of MNIST
written as PNG files and run through the CIFAR-10 recipe with LeNet-5 (pixels not centred, augmented); each at epsilon
45/255 and 8/255.
"""

import argparse
import json
import platform
import tempfile
import time
import warnings
from pathlib import Path

import torch
from PIL import Image

from infoplane.acceleration import PLAIN, Choices
from infoplane.attacks import AttackWarning
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import AttackConfig, FlowConfig
from infoplane.data import ImageSet, load_split, stratified_indices
from infoplane.distributed.team import ALONE
from infoplane.measuring.evaluate import attack_images, evaluate
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.recipes import RECIPES
from infoplane.studies.flow.choose_acceleration import training_choices
from infoplane.studies.flow.trainers import build_trainer
from infoplane.studies.parts import Images, build_model, load_images
from infoplane.training.named import named_training

FOLDER_TRAIN, TESTED = 20_000, 1_000
CASES = {  # recipe, epsilon, epochs, training images
    "mnist 45/255": ("mnist-lenet5", 45 / 255, 2, 60_000),
    "mnist 8/255": ("mnist-lenet5", 8 / 255, 3, 20_000),
    "digits 45/255": ("digits-lenet5", 45 / 255, 6, 1_347),
    "digits 24/255": ("digits-lenet5", 24 / 255, 6, 1_347),
    "digits 8/255": ("digits-lenet5", 8 / 255, 6, 1_347),
    "folder 45/255": ("cifar10-wrn", 45 / 255, 3, FOLDER_TRAIN),
    "folder 8/255": ("cifar10-wrn", 8 / 255, 3, FOLDER_TRAIN),
}


def processor() -> str:
    """Name the processor, with the instructions that decide how bfloat16 is computed."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if f" {flag}" in text]
    return f"{names[0] if names else platform.processor()} ({' '.join(flags)})"


def written_as_folder(images: ImageSet, folder: Path) -> None:
    """Write images as FOLDER/CLASS/NUMBER.png."""
    for label in range(len(images.class_names)):
        (folder / str(label)).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        Image.fromarray(image[0].numpy()).save(folder / str(label) / f"{number}.png")


def settings(case: str, warmup: float | None, folder: Path) -> FlowConfig:
    """Return the recipe of a case at its epsilon, with images of its own where it reads a folder."""
    recipe, epsilon, epochs, number = CASES[case]
    own = RECIPES[recipe].config.model_dump()
    steps = own["attack"]["steps"]
    step_size = max(own["attack"]["step_size"], 2 * epsilon / steps)
    own["attack"] = AttackConfig(epsilon=epsilon, step_size=min(step_size, epsilon), steps=steps).model_dump()
    own["training"]["epochs"] = epochs
    if warmup is not None:
        own["training"]["warmup_epochs"] = warmup
    own["data"] |= {"test_examples": TESTED, "train_examples": number}
    if case.startswith("folder"):
        own["model"]["name"] = "lenet5"
        own["data"] |= {"name": "folder", "folder": str(folder)}
        if not folder.exists():
            for split, number in (("train", FOLDER_TRAIN), ("test", TESTED)):
                images = load_split("mnist", split)
                chosen = stratified_indices(images.labels, number, generator=torch.Generator().manual_seed(0))
                written_as_folder(images.subset(chosen), folder / split)
    return FlowConfig.model_validate(own)


def trained(config: FlowConfig, images: Images, choices: Choices) -> dict[str, object]:
    """Train one seed and say how it ended."""
    assert images.train is not None
    began = time.perf_counter()
    model = build_model(config, images.test)
    trainer = build_trainer(config, named_training("adversarial", config), model, images, [], choices, ALONE)
    assert trainer is not None
    own = [trainer.train_epoch().accuracy for _ in range(config.training.epochs)]
    pixels, labels = as_pixels(images.test.images), images.test.labels
    with evaluation_mode(model):
        attack = pgd_attack(config.attack, random_start=False)
        attacked = attack_images(model, attack, pixels, labels, generator=torch.Generator().manual_seed(0))
        clean, robust = evaluate(model, pixels, labels).accuracy, evaluate(model, attacked, labels).accuracy
    return {
        "own": [round(accuracy, 4) for accuracy in own],
        "clean": clean,
        "robust": robust,
        "at_chance": trainer.at_chance,
        "seconds": round(time.perf_counter() - began, 1),
    }


def rows_of(path: Path) -> list[dict[str, object]]:
    """Read what has been computed."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict[str, object]]) -> str:
    """Return a Markdown table: all seeds in one line for each case and way, and how many ended at chance."""
    lines = [
        "| case | warm-up, epochs | way | at chance | test under PGD-7, % by seed | lowest own accuracy | processor |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = ("case", "warmup", "way", "processor")
    for key in dict.fromkeys(tuple(row[name] for name in keys) for row in rows):
        own = sorted((row for row in rows if tuple(row[name] for name in keys) == key), key=lambda row: row["seed"])
        robust = " ".join(f"{100 * row['robust']:.0f}" for row in own)
        dead = [str(row["seed"]) for row in own if row["at_chance"]]
        lowest = min(row["own"][-1] for row in own)
        case, warmup, way, name = key
        said = f"{len(dead)} of {len(own)}" + (f" (seed {', '.join(dead)})" if dead else "")
        lines.append(f"| {case} | {warmup:g} | {way} | {said} | {robust} | {lowest:.1%} | {name} |")
    return "\n".join(lines)


def main() -> None:
    """Compute what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--ways", nargs="+", choices=("fast", "float32"), default=["fast", "float32"])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--warmup", type=float, default=None, help="epochs; by default the recipe's")
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if chosen.table:
        print(table(rows_of(chosen.results)))
        return
    warnings.simplefilter("ignore", AttackWarning)
    with tempfile.TemporaryDirectory() as parent:
        for case in chosen.cases:
            config = settings(case, chosen.warmup, Path(parent) / "folder")
            images = load_images(config, "cpu")
            for way in chosen.ways:
                choices = training_choices(config, "cpu", "auto") if way == "fast" else PLAIN
                for seed in range(chosen.seeds):
                    facts = {"case": case, "warmup": config.training.warmup_epochs, "way": way, "seed": seed}
                    facts["processor"] = processor()
                    if any(all(row[name] == value for name, value in facts.items()) for row in rows_of(chosen.results)):
                        continue
                    row = facts | trained(config.model_copy(update={"seed": seed}), images, choices)
                    with chosen.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(row, flush=True)


if __name__ == "__main__":
    main()
