"""The command line: one module per subcommand. Only this package prints."""
