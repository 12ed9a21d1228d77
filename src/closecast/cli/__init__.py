"""The ``closecast`` command."""
