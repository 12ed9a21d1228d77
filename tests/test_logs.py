"""Being written (by the engineer of the storage tests)."""
