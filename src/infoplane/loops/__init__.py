"""Training loops of the user's own: planes that are saved, drawn and reported, and runs that are loaded again."""
