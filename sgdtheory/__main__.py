"""`python -m sgdtheory` is the command too."""

from sgdtheory.cli import main

main()
