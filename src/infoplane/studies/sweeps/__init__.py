"""Study three: what the estimators depend on."""
