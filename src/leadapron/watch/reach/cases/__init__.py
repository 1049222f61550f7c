"""Cases: an exposure followed up with its owner, from the first look to the proof that it is closed."""
