"""A toy estimator, added as docs/add-an-estimator.md says: this file, and one line in the list of instruments."""

from infoplane.estimators import Estimate
from infoplane.measuring.instruments import Instrument
from infoplane.measuring.layer_outputs import When
from infoplane.records.tables import ESTIMATE, LABEL_INFORMATION, POPULATION


def toy_information(activations, labels):
    value = float(len(activations)) / 100
    return Estimate(
        quantity=LABEL_INFORMATION, kind=ESTIMATE, distribution=POPULATION, estimator="toy", value=value, error=0.01
    )


def measure(version):
    yield toy_information(version.activations, version.labels), {}


TOY = Instrument(labels={"toy": "Toy estimator"}, when=When.EVERY_EPOCH, measure=measure)
