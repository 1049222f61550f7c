"""What a person sees of a scan, and what a program reads of it.

``model.collect`` makes one ``Report`` of a scan's facts, summary and sightings; ``table``, ``words`` and ``html`` show
it. ``csv`` and ``jsonl`` write records one by one and need no report. Nothing is imported here: each costs something.
"""
