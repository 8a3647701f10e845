"""JAX at its strictest for every test, and 64-bit numbers where a test asks for them."""

from __future__ import annotations

import os

# before JAX starts: eight host devices, so that nothing quietly depends on there being one
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_debug_key_reuse", True)
