"""Which kind of notice gets more servers closed: arms drawn by lot, and the comparison between them.

``factors`` draws, ``assign`` keeps what was drawn, ``analysis`` compares, with the intervals of ``intervals``.
"""
