"""Compression studies on the 12-bit task: tanh against ReLU, and the exact plane of quantised networks."""
