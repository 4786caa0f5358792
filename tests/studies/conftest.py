"""A study small enough to run in a second: real digits, few of them."""

import pytest

from infoplane.config import AttackConfig, DataConfig, FlowConfig, MeasurementConfig, ModelConfig, TrainingConfig
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY
from infoplane.studies.flow.information_flow import information_flow


@pytest.fixture(scope="session")
def small_flow() -> FlowConfig:
    return FlowConfig(
        recipe="small",
        data=DataConfig(name="digits", train_examples=120, test_examples=80),
        model=ModelConfig(name="lenet5"),
        training=TrainingConfig(epochs=2, batch_size=32, learning_rate=0.02),
        attack=AttackConfig(epsilon=0.1, step_size=0.05, steps=3),
        measurement=MeasurementConfig(
            examples=60, permutations=5, noise_sweep=(0.1, 10.0), thorough_epochs=1, decoder_permutations=1
        ),
    )


@pytest.fixture(scope="session")
def flow_run(small_flow, tmp_path_factory) -> RunFolder:
    """A smaller study yet in a folder, of seed 4, one epoch and two layers: look, do not write."""
    run = RunFolder(tmp_path_factory.mktemp("flow") / "run")
    settings = small_flow.model_dump() | {"seed": 4}
    settings["training"] |= {"epochs": 1, "learning_rate": 0.05, "batch_size": 8}
    settings["measurement"] |= {"examples": 40, "layers": ("conv2", "fc3"), "permutations": 3}
    config = FlowConfig.model_validate(settings)
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run)
    return run
