"""Other libraries, each group in an environment of its own, run as a script over arrays.

``NAME.txt`` pins what is installed, ``NAME.py`` is what runs there: it imports nothing of
closecast, reads one ``.npz`` and writes another. ``benchmarks.peers.runner`` does the rest.
"""
