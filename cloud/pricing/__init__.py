"""What AWS asks for rounds, in dollars."""
