"""Study one: information flow during training."""
