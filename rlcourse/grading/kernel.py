"""The kernel that runs a submission: it limits itself, then becomes an ordinary one. Started by its kernelspec."""

import resource
from contextlib import suppress
from threading import Thread

from rlcourse.grading.limits import MEGABYTE, PROCESSES

LIMITS = {
    resource.RLIMIT_AS: 3000 * MEGABYTE,  # torch on the CPU peaks at 800
    resource.RLIMIT_FSIZE: 10 * MEGABYTE,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}


def main() -> None:
    for kind, limit in LIMITS.items():
        with suppress(ValueError):  # a lower limit holds already, or macOS, which limits no memory
            resource.setrlimit(kind, (limit, limit))
    _limit_processes()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def _limit_processes() -> None:
    """The limit counts all processes of this user, so there may be too many already; for root it does not hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    with suppress(ValueError, OSError):  # a lower limit may hold already
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, hard))
        try:
            thread = Thread(target=int)
            thread.start()
            thread.join()
            resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
        except RuntimeError:
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


if __name__ == "__main__":
    main()
