"""python -m leveret: the same as the command leveret."""

from leveret.node.cli import main

main()
