"""The spec language: YAML text with places -> strict, typed parts."""
