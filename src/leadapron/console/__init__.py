"""The console: web pages over the watch. What stands open, who owns it, what is done about it."""
