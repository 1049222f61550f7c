"""Which software answers, read off Implementation Class UID and Version Name (PS3.7 §D.3.3.2).

The standard forbids nobody to ship a toolkit's identity unchanged, and most do: Orthanc answers as DCMTK, dcm4chee as
dcm4che. So that what is recognised is what the software says of itself, no more. The identities are data
(``products.toml``), each with where it was read. Both strings come from a stranger: they are kept, being the product's
own names, but only as printable ASCII of bounded length.
"""

from leadapron.watch.measure.software.recognise import printable, recognise, remedy_file
from leadapron.watch.measure.software.table import Product, products

__all__ = ["Product", "printable", "products", "recognise", "remedy_file"]
