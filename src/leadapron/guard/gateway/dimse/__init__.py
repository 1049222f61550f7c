"""The DIMSE relay: associations of peers on one side, of the old archive on the other, and a decision between them.

`flow` takes one direction's octets apart in place, `conversation` knows what is asked and answered on both, `judge`
decides, `leg` and `relay` carry octets, `front` and `back` open associations, `server` is all of it.
"""
