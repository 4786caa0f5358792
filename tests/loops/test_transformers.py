"""The callback for the Trainer of Hugging Face, with a small ViT: right weights, undisturbed training."""

import copy

import pytest
import torch
from tests.loops.tiny import CLASSES, SETTINGS, accuracies, accuracy, examples
from torch import nn

import infoplane
from infoplane.attacks import LinfPGD
from infoplane.errors import UserError
from infoplane.models import Normalise

transformers = pytest.importorskip(
    "transformers", reason="Transformers is not installed: pip install 'infoplane[transformers]'"
)
pytest.importorskip("accelerate", reason="accelerate, which the Trainer needs, is not installed")
from infoplane.loops.transformers import InformationPlaneCallback  # noqa: E402

TRAINING, MEASURED = examples(60, seed=0), examples(40, seed=1)
BATCHES = 3


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return len(TRAINING[0])

    def __getitem__(self, index):
        return {"pixel_values": TRAINING[0][index], "labels": TRAINING[1][index]}


class Tracker(transformers.TrainerCallback):
    """Keeps what trackers are given, like the ones of `report_to`."""

    def __init__(self):
        self.logged = []

    def on_log(self, args, state, control, logs=None, **given):
        self.logged.append((state.global_step, dict(logs)))


def small_vit():
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(
        **size, image_size=8, patch_size=4, num_channels=1, num_labels=CLASSES, hidden_dropout_prob=0.1
    )
    return transformers.ViTForImageClassification(config)


def watched(**options):
    return InformationPlaneCallback(*MEASURED, settings=SETTINGS, **({"layers": ["classifier"]} | options))


def fit(folder, make=None, *, model=small_vit, callbacks=(), checkpoint=None, **arguments):
    """Train a network, with the callback that `make(trainer)` returns, and return it before and after training."""
    transformers.set_seed(3)
    model = model()
    before = copy.deepcopy(model)
    defaults = {"num_train_epochs": 2, "save_strategy": "no", "learning_rate": 1e-2, "logging_strategy": "epoch"}
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=20,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            **(defaults | arguments),
        ),
        train_dataset=Images(),
        eval_dataset=Images(),
        callbacks=list(callbacks),
    )
    if make is not None:
        trainer.add_callback(make(trainer))
    trainer.train(resume_from_checkpoint=checkpoint)
    return before, model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """One training with an attack, a tracker and a run folder, which several tests look at."""
    folder, tracker, made = tmp_path_factory.mktemp("transformers"), Tracker(), []

    def make(trainer):
        attack = LinfPGD(epsilon=0.1, step_size=0.05, steps=2)
        made.append(watched(attack=attack, trainer=trainer, run=folder / "run"))
        return made[0]

    weights = fit(folder, make, callbacks=[tracker])
    return made[0].plane, tracker, folder, *weights


def test_trained_weights_are_those_of_training_without_the_callback(fitted, tmp_path):
    *_, measured = fitted
    _, alone = fit(tmp_path)
    for (name, own), other in zip(alone.state_dict().items(), measured.state_dict().values(), strict=True):
        assert torch.equal(own, other), name


def test_epoch_zero_is_the_untrained_network_and_the_last_the_trained_one(fitted):
    plane, _, _, before, after = fitted
    found = accuracies(plane.performance)
    assert list(found) == [0, 1, 2]
    assert found[0] == accuracy(before, *MEASURED)
    assert found[2] == accuracy(after, *MEASURED)
    assert found[0] != found[2]


def test_only_the_last_epoch_has_the_baseline_of_pixels(fitted):
    assert fitted[0].measurements.filter(layer="pixels")["epoch"].unique().to_list() == [2]


def test_the_run_folder_holds_all_epochs(fitted):
    plane, _, folder, *_ = fitted
    run = infoplane.load_run(folder / "run")
    assert run.performance.sort("epoch", "examples").equals(plane.performance.sort("epoch", "examples"))


def test_scalars_reach_the_trackers_but_not_the_console(fitted, tmp_path, capsys):
    plane, tracker, *_ = fitted
    ours = [(step, logs) for step, logs in tracker.logged if "original/accuracy" in logs]
    assert [step for step, _ in ours] == [0, BATCHES, 2 * BATCHES]
    assert [logs["original/accuracy"] for _, logs in ours] == list(accuracies(plane.performance).values())
    assert all("adversarial/classifier/I(T;Y)_kde-kl_nats" in logs for _, logs in ours)
    fit(tmp_path, lambda trainer: watched(trainer=trainer), num_train_epochs=1)
    printed = capsys.readouterr().out
    assert "train_runtime" in printed
    assert "classifier" not in printed


def test_the_trainer_still_logs_its_own_loss(fitted):
    losses = [step for step, logs in fitted[1].logged if "loss" in logs]
    assert losses == [BATCHES, 2 * BATCHES]


def test_a_training_that_ends_within_an_epoch_counts_it(tmp_path):
    callback = watched(every=5)
    _, after = fit(tmp_path, lambda _: callback, max_steps=4)
    found = accuracies(callback.plane.performance)
    assert list(found) == [0, 2]
    assert found[2] == accuracy(after, *MEASURED)


def stopped_early(folder, **arguments):
    callback = watched()
    stopping = transformers.EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=100.0)
    when = {"eval_strategy": "epoch", "metric_for_best_model": "loss", "num_train_epochs": 9}
    fit(folder, lambda _: callback, callbacks=[stopping], **when, **arguments)
    return list(accuracies(callback.plane.performance)), callback.plane.measurements.filter(layer="pixels")


@pytest.mark.filterwarnings("ignore:Using EarlyStoppingCallback without load_best_model_at_end")
def test_early_stopping_ends_with_a_last_epoch(tmp_path):
    epochs, pixels = stopped_early(tmp_path)
    assert 1 < len(epochs) < 9
    assert pixels["epoch"].unique().to_list() == epochs[-1:]


def test_weights_that_were_loaded_after_early_stopping_are_not_measured(tmp_path):
    best = {"load_best_model_at_end": True, "save_strategy": "epoch"}
    with pytest.warns(UserWarning, match=r"epoch \d is not measured as the last one: early stopping has loaded"):
        _, pixels = stopped_early(tmp_path, **best)
    assert pixels.is_empty()


def test_training_from_a_checkpoint_continues_the_run(tmp_path):
    fit(tmp_path, lambda _: watched(run=tmp_path / "run"), num_train_epochs=1, save_strategy="epoch")
    continued = watched(run=tmp_path / "run")
    checkpoint = str(tmp_path / f"checkpoint-{BATCHES}")
    _, after = fit(tmp_path, lambda _: continued, num_train_epochs=2, checkpoint=checkpoint)
    assert list(accuracies(continued.plane.performance)) == [2]
    found = accuracies(infoplane.load_run(tmp_path / "run").performance)
    assert list(found) == [0, 1, 2]
    assert found[2] == accuracy(after, *MEASURED)


def test_another_training_is_not_mixed_into_a_run(fitted, tmp_path):
    with pytest.raises(UserError, match="already holds a training 'normal' of seed 0"):
        fit(tmp_path, lambda _: watched(run=fitted[2] / "run"))


def test_images_pass_through_a_network_that_normalises(tmp_path):
    def network(model):
        return nn.Sequential(Normalise(1, 8, mean=0.5, std=0.25), model)

    callback = watched(network=network, layers=["1.classifier"])
    _, after = fit(tmp_path, lambda _: callback, num_train_epochs=1)
    assert accuracies(callback.plane.performance)[1] == accuracy(network(after), *MEASURED)


class TextFirst(nn.Module):
    """A model whose first input is a text, like those that embed texts and images."""

    def __init__(self):
        super().__init__()
        self.vit = small_vit()

    def forward(self, input_ids=None, pixel_values=None, labels=None):
        return self.vit(pixel_values=pixel_values, labels=labels)


def test_models_whose_first_input_is_another_one_get_images_by_name(tmp_path):
    callback = watched(layers=["model.vit.classifier"])
    _, after = fit(tmp_path, lambda _: callback, model=TextFirst, num_train_epochs=1)
    assert accuracies(callback.plane.performance)[1] == accuracy(after.vit, *MEASURED)
