"""How paths are drawn so that what is rare is seen: NumPy and SciPy on plain arrays, no JAX."""
