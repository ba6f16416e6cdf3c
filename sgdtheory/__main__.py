"""`python -m sgdtheory` is the command too."""

from sgdtheory.entry import main

main()
