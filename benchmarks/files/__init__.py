"""Reading files of closes."""
