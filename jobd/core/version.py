"""The version of jobd, as the daemon registers it and `--version` prints it."""

VERSION = "0.1.0"
