"""From an exposure to its owner and to the end of the case: cases, notices, follow-up, feeds."""
