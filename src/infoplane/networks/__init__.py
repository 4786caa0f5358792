"""Networks: mode, logits, memory format and layer names of any `nn.Module`."""
