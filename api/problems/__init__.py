"""RFC 9457 problem documents: the table of errors, and answers before the application."""
