"""The upper layer association of PS3.8 §7 and §9.2, without I/O.

`table` is Table 9-10 as data, `machine` drives it for either role, `negotiate` builds requests and answers them,
`reasons` puts rejections and aborts into words. Each is imported by its own name.
"""
