"""The kernel that runs a submission: it limits itself, then becomes an ordinary one. Started by its kernelspec."""

import resource

MEGABYTE = 1024**2
LIMITS = {
    resource.RLIMIT_AS: 3000 * MEGABYTE,  # torch on the CPU peaks at 800
    resource.RLIMIT_FSIZE: 10 * MEGABYTE,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}


def main() -> None:
    for kind, limit in LIMITS.items():
        resource.setrlimit(kind, (limit, limit))
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()
