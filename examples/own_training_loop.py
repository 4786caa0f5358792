"""An information plane beside a training loop of one's own, on scikit-learn's digits."""

import torch
import torch.nn.functional as F

from infoplane import InformationPlane
from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig
from infoplane.data import as_floats, load_split
from infoplane.models import LeNet5
from infoplane.records import LABEL_INFORMATION

torch.manual_seed(0)
train, test = load_split("digits", "train"), load_split("digits", "test")
model = LeNet5()
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
plane = InformationPlane(
    as_floats(test.images)[:300],
    test.labels[:300],
    name="own loop on digits",
    layers=["conv2", "fc2"],
    attack=LinfPGD(epsilon=45 / 255, step_size=8 / 255, steps=7),
    settings=MeasurementConfig(permutations=20),
)

for epoch in range(4):
    plane.measure(model, epoch=epoch, thorough=epoch == 0)  # decoders cost more than the rest
    plane.save("runs/own-loop")  # nothing is lost if the loop is stopped
    for batch in torch.randperm(len(train)).split(64):
        loss = F.cross_entropy(model(as_floats(train.images[batch])), train.labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
plane.measure(model, epoch=4, final=True)

print(plane.performance.select("epoch", "examples", "accuracy"))
columns = ["epoch", "examples", "value_nats", "standard_error", "null_quantile95_nats", "ceiling_nats", "saturated"]
fc2 = plane.measurements.filter(layer="fc2", quantity=LABEL_INFORMATION)
print(fc2.filter(estimator="kde-kl", noise_mode="fixed").select(columns))
print(fc2.filter(estimator="decoded").select(columns))

print(plane.report())  # figures and page of runs/own-loop; infoplane.load_run("runs/own-loop") has the tables
