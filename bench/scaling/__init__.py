"""How far it scales: what a producer and the brokers bear, and where more workers stop helping."""
