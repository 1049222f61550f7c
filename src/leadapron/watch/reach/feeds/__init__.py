"""Feeds: what stands open, in the formats that CERTs and their programs read.

``entries`` reads, one module for each format writes lines, ``write`` puts them where they belong. Each format is a
generator: 20,000 exposures pass through a few hundred at a time.

What may be in a feed: the endpoint, the product as it was recognised, findings by their names, counts, times, hints of
the network. What never is: an answer of a server as it came, a certificate's subject, marks, anything of a patient (the
watch keeps nothing of them). Strings that a stranger chose pass ``plain``.
"""
