"""What the processes of a group say at their end: a reason goes before the loss that it caused elsewhere."""

import pytest

from infoplane.distributed.workers import Answer, check_answers
from infoplane.errors import UserError


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_reason_of_one_process_is_told_whichever_answers_first(order):
    both = [Answer(lost=True), Answer(refusal="layer.npy does not exist")]
    told = [both[place] for place in order]
    with pytest.raises(UserError, match=r"^layer\.npy does not exist$"):  # noqa: PT012 - the first may say nothing yet
        check_answers(told[:1], whole=False)
        check_answers(told, whole=True)


def test_a_loss_without_a_reason_is_told_at_the_end():
    check_answers([Answer(lost=True)], whole=False)
    with pytest.raises(UserError, match="a worker has ended before it was done"):
        check_answers([Answer(lost=True), Answer(lost=True)], whole=True)


def test_answers_without_complaint_are_fine():
    check_answers([Answer("found"), Answer()], whole=True)
