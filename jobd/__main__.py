"""`python -m jobd` and the command `jobd`: quiet at a Ctrl-C from the first import on."""


def main() -> int:
    """Run the command line of this process; returns its exit status."""
    try:
        from jobd.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
