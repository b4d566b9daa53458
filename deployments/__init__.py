"""Places: where it runs, and the `continuum` command."""
