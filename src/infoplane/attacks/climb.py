"""The loop of APGD: ascent with momentum, and a step size of each image that is halved at checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from infoplane.attacks.balls import Region, per_image
from infoplane.attacks.dlr import DLR
from infoplane.attacks.goal import Goal, Objective
from infoplane.attacks.oracle import Oracle
from infoplane.attacks.strongest import Strongest

MOMENTUM = 0.75  # share of the new step; the rest repeats the last move
RISES = 0.75  # rho: share of the steps between checkpoints that must raise the loss
FIRST, SHORTER, LEAST = 0.22, 0.03, 0.06  # intervals between checkpoints, as shares of all steps


@dataclass
class _Climbers:
    """The images that are still attacked: one entry of each tensor per image."""

    rows: Tensor  # places in the batch
    point: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor  # point of the highest loss
    best_gradient: Tensor
    best_loss: Tensor
    size: Tensor  # of a step
    rises: Tensor  # steps since the last checkpoint that raised the loss
    checked_loss: Tensor  # highest loss at the last checkpoint
    halved: Tensor  # whether the step was halved there; true at the start, as in the authors' code

    def __getitem__(self, kept: Tensor) -> "_Climbers":
        return _Climbers(*(getattr(self, field.name)[kept] for field in fields(self)))

    def see(self, loss: Tensor) -> None:
        """Note the loss at `point`, whose gradient is already known."""
        self.rises += loss > self.loss
        self.loss = loss
        better = loss > self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best[better], self.best_gradient[better] = self.point[better], self.gradient[better]

    def halve(self, interval: int) -> None:
        """At a checkpoint, halve the step of images that progress too little, and go back to their best point."""
        stuck = ~self.halved & (self.best_loss <= self.checked_loss)
        self.halved = (self.rises <= RISES * interval) | stuck
        self.checked_loss = self.best_loss
        self.rises = torch.zeros_like(self.rises)
        self.size = torch.where(self.halved, self.size / 2, self.size)
        back = per_image(self.halved, self.point)
        self.point = torch.where(back, self.best, self.point)
        self.gradient = torch.where(back, self.best_gradient, self.gradient)


def checkpoints(steps: int) -> dict[int, int]:
    """Return the steps after which step sizes are checked, each with the number of steps since the last check."""
    interval, at, found = max(int(FIRST * steps), 1), 0, {}
    while (at := at + interval) <= steps:
        found[at] = interval
        interval = max(interval - max(int(SHORTER * steps), 1), max(int(LEAST * steps), 1))
    return found


def climb(
    oracle: Oracle,
    found: Strongest,
    images: Tensor,
    start: Tensor,
    goal: Goal,
    region_around: Callable[[Tensor], Region],
    *,
    loss: Literal["ce", "dlr"],
    steps: int,
    first_step: float,
    stop_early: bool,
    by_margin: bool,
) -> None:
    """Attack images from one start and offer every point to `found`. The last point takes a forward pass alone.

    Args:
        oracle: the network.
        found: takes the versions; with `stop_early` it also says which images are attacked.
        images: `(batch, channels, height, width)`, as they came.
        start: likewise, inside the region.
        goal: of each image.
        region_around: function of images that returns the set in which they must stay.
        loss: see `APGD`.
        steps: number of input gradients per image.
        first_step: size of the first step.
        stop_early: leave images alone once they have reached their goal.
        by_margin: compare versions by their margin instead of the loss.
    """
    rows = found.unreached if stop_early else torch.arange(len(images), device=images.device)
    if not len(rows):
        return
    own, region, point, checks = goal[rows], region_around(images[rows]), start[rows], checkpoints(steps)
    value, objective = _loss(loss, own)
    logits, gradient = oracle.gradient(point, objective, rows)
    now, reached = value(logits), own.is_reached(logits)
    found.offer(rows, point, reached, own.margin(logits) if by_margin else now)
    state = _Climbers(
        rows=rows,
        point=point,
        previous=point,
        gradient=gradient,
        loss=now,
        best=point.clone(),
        best_gradient=gradient.clone(),
        best_loss=now,
        size=torch.full_like(now, first_step),
        rises=torch.zeros_like(now),
        checked_loss=now,
        halved=torch.ones_like(reached),
    )
    for done in range(1, steps + 1):
        if stop_early and bool(reached.any()):
            state = state[~reached]
            if not len(state.rows):
                return
            own, region = goal[state.rows], region_around(images[state.rows])
            value, objective = _loss(loss, own)
        moved = region.step_(state.point.clone(), state.gradient, state.size)
        if done > 1:
            step, repeated = moved - state.point, state.point - state.previous
            moved = region.projected_(state.point + MOMENTUM * step + (1 - MOMENTUM) * repeated)
        state.previous, state.point = state.point, moved
        if done == steps:
            logits = oracle.logits(moved)
        else:
            logits, state.gradient = oracle.gradient(moved, objective, state.rows)
        now, reached = value(logits), own.is_reached(logits)
        found.offer(state.rows, moved, reached, own.margin(logits) if by_margin else now)
        if done < steps:
            state.see(now)
            if done in checks:
                state.halve(checks[done])


def _loss(loss: Literal["ce", "dlr"], goal: Goal) -> tuple[Callable[[Tensor], Tensor], Objective]:
    """Return the loss per image and its direction. Only the order of losses counts."""
    if loss == "ce":
        return goal.log_odds, goal.cross_entropy
    dlr = DLR(goal)
    return dlr.value, dlr.direction
