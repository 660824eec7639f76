"""Bills: from a provider's own lines to FOCUS-named rows, one module of tables per bill format."""
