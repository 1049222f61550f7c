"""Which kind of notice gets more servers closed: arms drawn by lot, and the comparison between them."""
