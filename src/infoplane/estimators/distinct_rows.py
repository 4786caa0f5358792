"""Find equal rows of a matrix, by 64-bit hashes of their exact bits, and count them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from infoplane.checks import check_labels

MOST_COPIES = 10  # rows that repeat more often are values of a discrete layer, e.g. of dead units, and no copies
AGREEING = 0.95  # least share of repeated rows with one label only, if they are copies
_HASH_SEED = 20170719  # fixed: equal input gives equal identities on every machine


def row_identities(read_words: Callable[[slice], Tensor], samples: int, words: int, device: torch.device) -> Tensor:
    """Return one integer per row, `(samples,)` int64 on the CPU, equal exactly where rows are equal.

    The hash of a row is two sums, modulo 2**64, of its words times random odd multipliers. The probability that two
    different rows share both sums is below 2**-64, since words of 32 bits differ by less than 2**32.

    Args:
        read_words: from a slice of rows to their words, `(rows, words)` int64, each within 32 bits.
        samples: number of rows.
        words: number of words of a row.
        device: device of the words that `read_words` returns.
    """
    generator = torch.Generator().manual_seed(_HASH_SEED)
    multipliers = (torch.randint(-(2**63), 2**63 - 1, (2, words), generator=generator) | 1).to(device)
    hashes = torch.empty((samples, 2), dtype=torch.int64, device=device)
    # On a CPU the words of one step stay in the cache for both sums. Smaller steps would start torch's threads more
    # often, which is slow on a busy machine.
    step = max(1, 2**20 // words)
    for start in range(0, samples, step):
        rows = slice(start, min(start + step, samples))
        part = read_words(rows)
        for column, multiplier in enumerate(multipliers):
            # numpy needs one pass, torch an elementwise product and a sum; both wrap around at 2**64.
            if device.type == "cpu":
                hashes[rows, column] = torch.from_numpy(part.numpy() @ multiplier.numpy())
            else:
                hashes[rows, column] = (part * multiplier).sum(dim=1)
    return pair_identities(*hashes.cpu().unbind(dim=1))


def pair_identities(first: Tensor, second: Tensor) -> Tensor:
    """Return one integer per pair of integers, `(samples,)`, equal exactly where both are equal."""
    first, second = (torch.unique(part, return_inverse=True)[1] for part in (first, second))
    identities: Tensor = torch.unique(first * len(second) + second, return_inverse=True)[1]
    return identities


def distinct_rows(activations: Tensor, suspects: Tensor) -> Tensor:
    """Return one integer per sample, `(samples,)` int64, equal exactly where rows of `activations` are equal.

    Args:
        activations: `(samples, features)` of a float type; 0.0 and -0.0 are equal.
        suspects: `(samples,)` integers that are equal wherever rows are equal; only rows that share one are compared.
    """
    _, suspects, sizes = torch.unique(suspects, return_inverse=True, return_counts=True)
    shared = (sizes[suspects] > 1).nonzero().squeeze(1)
    hashed = torch.zeros_like(suspects)
    if len(shared):
        candidates = shared.to(activations.device)
        words = activations.shape[1] * (2 if activations.dtype == torch.double else 1)

        def read_words(rows: slice) -> Tensor:
            part = activations[candidates[rows]]
            # Adding zero turns -0.0 into 0.0.
            part = (part if part.dtype == torch.double else part.float()) + 0.0
            return part.contiguous().view(torch.int32).long()

        hashed[shared] = row_identities(read_words, len(shared), words, activations.device)
    return pair_identities(suspects, hashed)


def first_appearances(identities: Tensor) -> Tensor:
    """Return for each sample the index of the first sample with the same identity, `(samples,)` int64."""
    names, places = torch.unique(identities.cpu(), return_inverse=True)
    firsts = torch.full((len(names),), len(places))
    return firsts.scatter_reduce(0, places, torch.arange(len(places)), "amin")[places]


def copies(identities: Tensor, labels: Tensor) -> Tensor:
    """Return one integer per sample, `(samples,)` int64, equal exactly where samples are copies of one sample.

    Copies depend on each other: a decoder that was fitted on one knows the label of the other. A layer with few values
    has equal rows too, of independent samples. Those are no copies: rows that occur more than `MOST_COPIES` times, and
    all rows if less than `AGREEING` of the rows that occur more than once have one label only.

    Args:
        identities: `(samples,)` integers, equal exactly where rows are equal.
        labels: `(samples,)` integers.
    """
    alone = torch.arange(len(identities))
    places, counts = torch.unique(identities.cpu(), return_inverse=True, return_counts=True)[1:]
    repeated = (counts > 1) & (counts <= MOST_COPIES)
    pairs = torch.unique(torch.stack([places, labels.cpu().long()]), dim=1)
    of_one_label = torch.bincount(pairs[0], minlength=len(counts)) == 1
    if not repeated.any() or of_one_label[repeated].double().mean() < AGREEING:
        return alone
    return torch.where(repeated[places], first_appearances(places), alone)


def copied(groups: Tensor) -> int:
    """Return how many samples are further copies, or further members of the group, of an earlier one."""
    return len(groups) - len(torch.unique(groups))


def checked_groups(groups: Tensor | None, identities: Callable[[], Tensor], labels: Tensor) -> Tensor:
    """Return the groups of dependent samples: those given, or else copies.

    Raises:
        ValueError: `groups` does not hold one integer per sample.
    """
    if groups is None:
        return copies(identities(), labels)
    check_labels(groups, len(labels), name="groups")
    return groups.cpu().long()


def multiplicity_entropy(identities: Tensor) -> float:
    """Return the entropy, in nats, of the identity of a randomly drawn sample: log N if all identities differ."""
    counts: Tensor = torch.unique(identities, return_counts=True)[1]
    if len(counts) == len(identities):
        return math.log(len(identities))
    frequencies = counts.double() / len(identities)
    return max(0.0, -(frequencies * frequencies.log()).sum().item())
