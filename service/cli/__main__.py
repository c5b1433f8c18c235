"""`python -m service.cli`: the `polar` command, without its script."""

from service.cli import main

main()
