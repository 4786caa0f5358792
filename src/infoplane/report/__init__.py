"""What a run says, for people: terminal table, paper figures and one self-contained page."""
