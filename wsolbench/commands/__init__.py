"""What the commands of the command line do: each reads its arguments and calls one function of the package."""
