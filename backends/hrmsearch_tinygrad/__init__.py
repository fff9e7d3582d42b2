"""The tinygrad backend: emits a standalone tinygrad program and runs exactly that."""
