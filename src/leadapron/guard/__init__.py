"""A lock in front of the archive that is already there: who is asking, what they may do, what happened, the gateway."""
