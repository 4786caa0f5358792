"""Tasks: distributions whose information is known, to compare estimators with."""

from infoplane.estimators.tasks.catalogue import CHANNEL_TASKS, LABEL_TASKS, PAIR_TASKS
from infoplane.estimators.tasks.channels import (
    ChannelTask,
    gaussian_channel,
    noisy_labelled_gaussians,
    point_clusters,
)
from infoplane.estimators.tasks.images import (
    blob_pairs,
    draw_shapes,
    labelled_images,
    labelled_lamps,
    rectangle_pairs,
    same_class_pairs,
)
from infoplane.estimators.tasks.labels import (
    LabelTask,
    labelled_gaussian_information,
    labelled_gaussians,
    noisy_labels,
    symmetric_channel_information,
)
from infoplane.estimators.tasks.named import NamedTask
from infoplane.estimators.tasks.pairs import (
    PairTask,
    correlated_normals,
    discrete_with_uniform_noise,
    equicorrelated_normals,
    mapped,
    student_pairs,
    uniform_noise,
)

__all__ = [
    "CHANNEL_TASKS",
    "LABEL_TASKS",
    "PAIR_TASKS",
    "ChannelTask",
    "LabelTask",
    "NamedTask",
    "PairTask",
    "blob_pairs",
    "correlated_normals",
    "discrete_with_uniform_noise",
    "draw_shapes",
    "equicorrelated_normals",
    "gaussian_channel",
    "labelled_gaussian_information",
    "labelled_gaussians",
    "labelled_images",
    "labelled_lamps",
    "mapped",
    "noisy_labelled_gaussians",
    "noisy_labels",
    "point_clusters",
    "rectangle_pairs",
    "same_class_pairs",
    "student_pairs",
    "symmetric_channel_information",
    "uniform_noise",
]
