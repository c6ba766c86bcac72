"""What every task offers and shares."""
