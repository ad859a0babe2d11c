from rlcourse.operations.cli import main

main()
