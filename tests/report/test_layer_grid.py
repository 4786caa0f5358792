"""The grid of layers over epochs: one axis of epochs for all, however they were measured."""

from infoplane.report.style import align_epochs, layer_grid, say_missing

LAYERS = [(0, "first"), (1, "second"), (2, "third")]


def limits_of(*epochs: list[int]) -> list[tuple[float, float]]:
    """Limits of three layers measured at these epochs, drawn in the lower row alone."""
    _, axes = layer_grid("title", LAYERS, 2, 1.0)
    for column, of_layer in enumerate(epochs):
        say_missing(axes[0, column], "not measured")
        if of_layer:
            axes[1, column].plot(of_layer, of_layer)
        else:
            say_missing(axes[1, column], "not measured")
    align_epochs(axes)
    assert all(axes[0, column].get_xlim() == axes[1, column].get_xlim() for column in range(3))
    return [axes[1, column].get_xlim() for column in range(3)]


def test_layers_measured_at_the_same_epochs_share_their_limits():
    assert len(set(limits_of([0, 4, 10], [0, 4, 10], [0, 4, 10]))) == 1


def test_a_layer_measured_at_fewer_epochs_is_drawn_along_all_of_them():
    whole, less, other = limits_of([0, 4, 10], [4, 6], [0, 8])
    assert whole == less == other
    assert whole[0] <= 0 < 10 <= whole[1]


def test_a_layer_that_was_not_measured_moves_no_other():
    first, _, third = limits_of([20, 24], [], [20, 24])
    assert first == third
    assert first[0] > 19
