"""Campaigns: a scope, a schedule and a depth, scanned round after round; what each round changes is followed up."""
