"""Records: the tables that studies fill, and what may be believed of their numbers."""
