"""``python -m closecast.cli``: the command, without its installed script."""

from closecast.cli.main import main

main()
