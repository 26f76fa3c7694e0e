"""What an operator's machine does: package, deploy, operate."""
