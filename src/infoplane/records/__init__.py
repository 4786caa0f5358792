"""Records: the tables that studies fill, and marks of numbers that are not reliable."""
