"""The pipeline step by step: ``python -m scripts.01_collect_data`` and so on."""
