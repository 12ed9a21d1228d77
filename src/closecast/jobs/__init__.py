"""Jobs: tasks, the worker that runs them, its supervisor, delivery, automatic retraining."""
