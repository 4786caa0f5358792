"""How acceleration works inside. Only `infoplane.acceleration` imports these files (docs/acceleration.md)."""
