"""Study one: information in every layer during training."""
