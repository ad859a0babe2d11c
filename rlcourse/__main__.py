from rlcourse.cli import main

main()
