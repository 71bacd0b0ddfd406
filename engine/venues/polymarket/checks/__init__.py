"""What is asked of Polymarket before an account trades: the doctor's look and the self-test."""
