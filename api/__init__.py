"""The HTTP interface. It reads what the worker wrote; it never collects and never trains."""
