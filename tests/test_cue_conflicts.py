"""Cue conflicts: pairs of images of different classes exchange their textures."""

import pytest
import torch
from tests.cue_patterns import SeesShape, SeesTexture, patterns

from infoplane.distortions import CONFLICT_KINDS, HIGH_PASS, PATCHES, conflict_images, exchange_partners, low_pass
from infoplane.measuring.exchanged import CONFLICTS, exchange_of, fingerprint


def made(shapes, textures, kind=HIGH_PASS, width=2.0):
    return conflict_images(shapes, textures, kind=kind, width=width, generator=torch.Generator().manual_seed(0))


def test_an_image_without_texture_lends_only_its_mean(generator):
    shapes, plain = torch.rand(3, 1, 28, 28, generator=generator), torch.full((3, 1, 28, 28), 0.25)
    assert torch.allclose(made(shapes, plain), low_pass(shapes, 2), atol=1e-6)
    assert torch.allclose(made(shapes, plain, PATCHES), (low_pass(shapes, 2) + 0.25) / 2, atol=1e-6)


def test_a_plain_shape_leaves_the_patches_of_what_the_blur_removes(generator):
    plain, textures = torch.full((2, 3, 32, 32), 0.5), 0.4 + 0.2 * torch.rand(2, 3, 32, 32, generator=generator)
    detail = textures - low_pass(textures, 2)
    found = made(plain, textures) - 0.5

    def sorted_patches(images):  # patches of 8 x 8 in an order that does not depend on their places
        patches = images.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
        return torch.stack([one[one[:, 0].argsort()] for one in patches])

    assert torch.allclose(sorted_patches(found), sorted_patches(detail), atol=1e-6)
    assert not torch.allclose(found, detail, atol=1e-3)


@pytest.mark.parametrize("kind", CONFLICT_KINDS)
def test_conflicts_are_images_and_the_same_seed_gives_the_same(kind, generator):
    shapes, textures = (torch.rand(4, 3, 32, 32, generator=generator).round() for _ in range(2))
    found = made(shapes, textures, kind, width=0.5)
    assert (found.min() >= 0, found.max() <= 1, found.shape) == (True, True, shapes.shape)
    assert torch.equal(found, made(shapes, textures, kind, width=0.5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "stripes"}, "kind must be one of"),
        ({"width": 0.0}, "width must be positive"),
        ({"textures": torch.ones(2, 1, 8, 8)}, "shapes and textures must have one shape and type"),
        ({"shapes": 2 * torch.ones(1, 1, 8, 8)}, r"shapes must lie in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(change, words, generator):
    images = torch.ones(1, 1, 8, 8)
    with pytest.raises(ValueError, match=words):
        conflict_images(
            **({"shapes": images, "textures": images, "kind": PATCHES, "width": 1.0} | change), generator=generator
        )


def test_every_image_has_a_partner_of_another_class_and_all_classes_meet(generator):
    labels = torch.arange(10).repeat(9)
    partners = exchange_partners(labels, generator=generator)
    assert torch.equal(partners[partners], torch.arange(90))
    assert (labels[partners] != labels).all()
    meetings = torch.zeros(10, 10, dtype=torch.long).index_put_(
        (labels, labels[partners]), torch.tensor(1), accumulate=True
    )
    off_diagonal = meetings[~torch.eye(10, dtype=torch.bool)]
    assert off_diagonal.max() - off_diagonal.min() <= 2  # 45 pairs of images, 45 pairs of classes


@pytest.mark.parametrize(
    ("counts", "pairs"),
    [([10, 3, 1], 4), ([5, 5, 1], 5), ([1, 1], 1), ([2, 2, 2], 3), ([7, 1, 1, 1, 1, 1, 2], 7), ([4, 2, 2], 4)],
)
def test_as_many_images_as_possible_are_paired(counts, pairs, generator):
    labels = torch.cat([torch.full((number,), place) for place, number in enumerate(counts)])
    for _ in range(10):
        partners = exchange_partners(labels, generator=generator)
        assert int((partners >= 0).sum()) == 2 * pairs  # the smaller of half of all, and all but the largest class


def test_one_class_has_no_conflicts(generator):
    with pytest.raises(ValueError, match="at least two classes"):
        exchange_partners(torch.zeros(4, dtype=torch.long), generator=generator)


def test_copies_and_images_without_a_partner_are_left_out():
    images, labels = patterns(5)
    images[4] = images[0]  # of the same class, the first
    found = exchange_of(torch.cat([images, images[:1]]), torch.cat([labels, labels[:1]]), seed=0)
    assert len(found.examples) == 18  # 19 different images, one of which finds no partner
    assert not {4, 20} & set(found.examples.tolist())
    assert (found.labels == torch.cat([labels, labels[:1]])[found.examples]).all()


def test_conflicts_of_different_groups_and_pairs_share_no_image():
    found = exchange_of(*patterns(30), seed=3)
    for rows in (found.pairs, found.groups):
        assert torch.equal(rows, rows[found.partners])
    assert found.pairs.bincount().tolist() == [2] * 60
    assert found.groups.bincount().tolist() == [6] * 20


def test_a_network_that_sees_shape_alone_answers_the_shape_and_one_that_sees_texture_the_texture():
    found = exchange_of(*patterns(20), seed=0)
    for kind in CONFLICTS[:2]:
        images = found.conflicts(kind, seed=0)
        assert (SeesShape()(images).argmax(dim=1) == found.labels).float().mean() > 0.95, kind
        assert (SeesTexture()(images).argmax(dim=1) == found.textures).float().mean() > 0.95, kind


def test_the_fingerprint_tells_images_and_classes_apart():
    images, labels = patterns(2)
    known = fingerprint(images, labels)
    assert known == fingerprint(images.clone(), labels.clone())
    assert known != fingerprint(images, labels.flip(0))
    assert known != fingerprint(images.flip(0), labels)
