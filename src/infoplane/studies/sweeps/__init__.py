"""Study three: how the estimates depend on geometry, noise, samples and dimension."""
