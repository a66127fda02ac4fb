"""The command ``twolane``: a module per subcommand. Needs the extra ``cli`` (click, rich); nothing else imports it."""
