"""python -m leveret: the same as the command leveret."""

from leveret.node.main import main

main()
