"""Rescue: what a route change brought to the wrong site is sent on to the site that owns it.

`data/rescue.bpf.c` does it, in the kernel; here are its tables (`tables`), the order in which sites
are asked (`order`), and how it is loaded (`libbpf`) and attached (`program`).
"""
