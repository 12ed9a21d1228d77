"""The server below the application: connections, heads of requests, limits on both."""
