"""What they may do: a pure decision, with the line that made it."""
