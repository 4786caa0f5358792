"""Images and settings so small that a measurement takes a fraction of a second."""

import torch

from infoplane.config import MeasurementConfig

SETTINGS = MeasurementConfig(permutations=1, decoder_permutations=0, noise_sweep=())
CLASSES = 4


def examples(number, seed):
    """Return `number` grey images of 8x8 whose brightness follows their class, and the classes."""
    labels = torch.arange(number) % CLASSES
    pixels = torch.rand(number, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (pixels + labels.view(-1, 1, 1, 1) / 3) / 2, labels


def accuracy(network, images, labels):
    """Return the share of correct predictions in evaluation mode, by torch alone."""
    was_training = network.training
    with torch.no_grad():
        output = network.eval()(images)
    network.train(was_training)
    logits = output if isinstance(output, torch.Tensor) else output.logits
    return (logits.argmax(dim=1) == labels).double().mean().item()


def accuracies(performance):
    """Return the accuracy on original examples by epoch, from a table."""
    return dict(performance.filter(examples="original").select("epoch", "accuracy").iter_rows())
