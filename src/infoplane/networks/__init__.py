"""Networks: what holds for any `nn.Module`: mode, logits, memory format, names of layers."""
