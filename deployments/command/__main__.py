"""`python -m deployments.command` is the `continuum` command."""

from deployments.command import main

main()
