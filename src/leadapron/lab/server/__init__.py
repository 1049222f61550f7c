"""DICOM servers of the lab: what they look like and do is data (``profile``), one conversation carries it out."""
