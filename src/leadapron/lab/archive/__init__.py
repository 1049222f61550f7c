"""Archives of made-up studies whose answers are computed, not stored.

Study ``i`` of ``N`` has its date, time, patient, images, names and UIDs by arithmetic on ``i``; a query is turned into
runs of ``i``; an answer is a row of fixed width, so thousands of answers are one matrix that numpy fills column by
column. Tens of millions of studies cost no memory, and what the archive holds is known to the last image.
"""
