"""A dataset in one file: grey squares of two sizes."""

from infoplane.data import DatasetSpec, Wanted


def read(spec: DatasetSpec, wanted: Wanted):
    import torch

    from infoplane.data import ImageSet

    generator = torch.Generator().manual_seed(0 if wanted.split == "train" else 1)
    labels = torch.arange(60) % 2
    images = torch.randint(0, 100, (60, 1, spec.image_size, spec.image_size), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, : 6 + 6 * int(label), : 6 + 6 * int(label)] += 150
    return ImageSet(images, labels, spec.class_names, wanted.split, spec.name, source="toy squares")


TOY_DATASET = DatasetSpec(
    name="toy-squares",
    description="squares of two sizes",
    class_names=("small", "large"),
    image_size=16,
    channels=1,
    read=read,
)
