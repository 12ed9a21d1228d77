"""MLflow: runs that are recorded, and their export for processes without MLflow."""
