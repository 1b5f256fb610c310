"""The command `sweeper`, and `python -m sweeper`."""

import signal


def main() -> None:
    """Run the command line. Ctrl-C while it is being imported ends it as any program, without a traceback."""
    is_raised = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_raised:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sweeper import cli

    if is_raised:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
