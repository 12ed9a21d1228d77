"""Pages of the documentation that are made from the code: one module, one page or family."""
