"""What to do, for each product, in steps that a clinic can follow.

One TOML file for a product; its sections are what findings ask for (``FindingKind.remedy``), and where a product has
none the generic one serves. A section may hold *parts*: the very lines or settings to put in place, with places for the
site's own names. The text that people read and the tests that try the remedy on the real server are made from the same
part, so that they cannot say different things.
"""

from leadapron.watch.measure.judge.remedies.data import Part, Remedy, files, product_of, remedy
from leadapron.watch.measure.judge.remedies.suitable import suitable

__all__ = ["Part", "Remedy", "files", "product_of", "remedy", "suitable"]
