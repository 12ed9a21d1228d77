"""Adapters to the operating system: files, processes, ports, logs, secrets. Knows no forecasts."""
