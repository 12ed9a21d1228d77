"""Tables of closes as people have them: any container, exporter, language and number format.

Nothing depends on a file's name. The labels that are understood are in ``labels``, the exporters
that are recognised in ``layouts``.
"""
